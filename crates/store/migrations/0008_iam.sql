-- Who may sign, and what they may do. All of it is small (its quotas are) and is held in memory by every node; the
-- version below tells a node when to read it again.

-- Users and roles. The folded name is in lower case: names are unique without regard to case.
CREATE TABLE iam_principal (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  folded TEXT NOT NULL,
  name TEXT NOT NULL,
  path TEXT NOT NULL,
  description TEXT,
  trust TEXT,
  session_seconds_max BIGINT,
  revoked_before BIGINT,
  tags TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX iam_principal_by_name ON iam_principal (kind, folded);

-- Secrets are sealed.
CREATE TABLE iam_access_key (
  id TEXT PRIMARY KEY,
  principal TEXT NOT NULL,
  secret BYTEA NOT NULL,
  active BIGINT NOT NULL,
  created_at BIGINT NOT NULL
);
CREATE INDEX iam_access_key_by_principal ON iam_access_key (principal, id);

CREATE TABLE iam_inline_policy (
  principal TEXT NOT NULL,
  name TEXT NOT NULL,
  document TEXT NOT NULL,
  PRIMARY KEY (principal, name)
);

CREATE TABLE iam_policy (
  id TEXT PRIMARY KEY,
  folded TEXT NOT NULL,
  name TEXT NOT NULL,
  path TEXT NOT NULL,
  description TEXT,
  tags TEXT NOT NULL,
  default_version BIGINT NOT NULL,
  last_version BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX iam_policy_by_name ON iam_policy (folded);

CREATE TABLE iam_policy_version (
  policy TEXT NOT NULL,
  version BIGINT NOT NULL,
  document TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (policy, version)
);

CREATE TABLE iam_attachment (
  principal TEXT NOT NULL,
  policy TEXT NOT NULL,
  PRIMARY KEY (principal, policy)
);
CREATE INDEX iam_attachment_by_policy ON iam_attachment (policy, principal);

-- Issuers of JSON web tokens. The URL has no scheme, as in the ARN.
CREATE TABLE iam_oidc_provider (
  url TEXT PRIMARY KEY,
  client_ids TEXT NOT NULL,
  thumbprints TEXT NOT NULL,
  tags TEXT NOT NULL,
  created_at BIGINT NOT NULL
);
