-- Retention: the period, and when what has passed it begins to be destroyed.
ALTER TABLE app_instance ADD COLUMN retention_days BIGINT;
ALTER TABLE app_instance ADD COLUMN retention_destroys_at BIGINT;

CREATE INDEX identity_admin ON identity (app_instance, key) WHERE admin_since IS NOT NULL;
