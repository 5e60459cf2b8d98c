/// IAM users and their keys, roles, policies; and which statement says what.

import type { JSX, TargetedSubmitEvent } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { call } from "../api";
import * as iam from "../iam";
import { Arn, Failed, Field, type Loaded, Shown, Table, Tabs, useLoaded } from "../parts";
import { hrefOf } from "../route";
import { session } from "../session";

const TABS = ["users", "roles", "policies", "why"] as const;

/// What is asked of `why`, as far as it is known.
interface Question {
  action: string;
  resource: string;
  bearer: string;
}

export function Access({ tab, question }: { tab: string; question: Question }) {
  return (
    <>
      <header class="title">
        <h1>Access</h1>
        <Tabs label="Of access" current={tab} of={TABS.map((tab) => [hrefOf("access", tab), tab])} />
      </header>
      {tab === "roles" ? (
        <Roles />
      ) : tab === "policies" ? (
        <Policies />
      ) : tab === "why" ? (
        <Why key={Object.values(question).join(" ")} {...question} />
      ) : (
        <Users />
      )}
    </>
  );
}

function Users() {
  const users = useLoaded(iam.listIamUsers, []);
  return (
    <Shown of={users}>
      {(users) =>
        users.length === 0 ? (
          <p class="empty">
            There is only root. <code>aws iam create-user</code>, or <code>carillon iam</code>, makes others.
          </p>
        ) : (
          users.map(({ UserName, Arn: arn }) => (
            <Opens key={arn} title={UserName} arn={arn}>
              {() => (
                <>
                  <Keys user={UserName} />
                  <Rules of="User" name={UserName} />
                </>
              )}
            </Opens>
          ))
        )
      }
    </Shown>
  );
}

/// Loads what is in it once it is opened.
function Opens({ title, arn, children }: { title: string; arn: string; children: () => JSX.Element }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details class="card" onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>
        <strong>{title}</strong> <Arn of={arn} />
      </summary>
      {isOpen && children()}
    </details>
  );
}

function Keys({ user }: { user: string }) {
  const keys = useLoaded(() => iam.listKeys(user), [user]);
  return (
    <Shown of={keys}>
      {(keys) =>
        keys.length === 0 ? (
          <p class="empty">No access keys.</p>
        ) : (
          <Table caption={`Access keys of ${user}`} heads={["Access key", "Status", "Made"]}>
            {keys.map((key) => (
              <tr key={key.AccessKeyId}>
                <td>
                  <code>{key.AccessKeyId}</code>
                </td>
                <td>{key.Status}</td>
                <td>{new Date(key.CreateDate).toLocaleString()}</td>
              </tr>
            ))}
          </Table>
        )
      }
    </Shown>
  );
}

function Rules({ of, name }: { of: "User" | "Role"; name: string }) {
  const rules = useLoaded(() => iam.listRules(of, name), [of, name]);
  return (
    <Shown of={rules}>
      {(rules) =>
        rules.length === 0 ? (
          <p class="empty">No policy is attached: nothing is allowed.</p>
        ) : (
          <>
            {rules.map((rule) => (
              <RuleDocument key={`${rule.kind} ${rule.name}`} rule={rule} />
            ))}
          </>
        )
      }
    </Shown>
  );
}

function RuleDocument({ rule }: { rule: iam.Rule }) {
  return (
    <section>
      <h2 class="small">
        {rule.name} <small class="quiet">{rule.kind}</small>
      </h2>
      <Document of={useLoaded(rule.document, [rule.kind, rule.name])} name={rule.name} />
    </section>
  );
}

const Document = ({ of, name }: { of: Loaded<string>; name: string }) => (
  <Shown of={of}>
    {(text) => (
      <pre tabIndex={0} role="region" aria-label={`Document of ${name}`}>
        {text}
      </pre>
    )}
  </Shown>
);

function Roles() {
  const roles = useLoaded(iam.listRoles, []);
  return (
    <Shown of={roles}>
      {(roles) =>
        roles.length === 0 ? (
          <p class="empty">There are no roles.</p>
        ) : (
          roles.map((role) => (
            <Opens key={role.Arn} title={role.RoleName} arn={role.Arn}>
              {() => (
                <>
                  <h2 class="small">Who may assume it</h2>
                  <pre tabIndex={0} role="region" aria-label={`Who may assume ${role.RoleName}`}>
                    {iam.pretty(role.AssumeRolePolicyDocument)}
                  </pre>
                  <Rules of="Role" name={role.RoleName} />
                </>
              )}
            </Opens>
          ))
        )
      }
    </Shown>
  );
}

function Policies() {
  const policies = useLoaded(iam.listPolicies, []);
  return (
    <Shown of={policies}>
      {(policies) =>
        policies.length === 0 ? (
          <p class="empty">There are no managed policies.</p>
        ) : (
          policies.map((policy) => (
            <Opens key={policy.Arn} title={policy.PolicyName} arn={policy.Arn}>
              {() => <PolicyDocument policy={policy} />}
            </Opens>
          ))
        )
      }
    </Shown>
  );
}

const PolicyDocument = ({ policy }: { policy: iam.IamPolicy }) => (
  <Document of={useLoaded(() => iam.documentOf(policy.Arn), [policy.Arn])} name={policy.PolicyName} />
);

interface Answer {
  Allowed: boolean;
  DecidedBy: string;
  Reason: string;
  Principal?: string;
  Statements?: Statement[];
  /// What was taken for what the question leaves open.
  Assumed?: Record<string, unknown>;
}

interface Statement {
  Policy: string;
  Sid?: string;
  Effect: string;
  Action?: string;
  Resource?: string;
  Matched: boolean;
  Decides?: boolean;
  Why?: string;
}

/// May this one do that, and which statement, role, quota or flow says so.
function Why({ action, resource, bearer }: Question) {
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [error, setError] = useState<unknown>();
  const form = useRef<HTMLFormElement>(null);
  const ask = (): void => {
    const asked = [...new FormData(form.current!)].filter(([, value]) => value !== "");
    call<Answer>("POST", "/_carillon/v1/why", { body: Object.fromEntries(asked) }).then(
      (answer) => {
        setAnswer(answer);
        setError(undefined);
      },
      (error) => {
        setAnswer(null);
        setError(error);
      },
    );
  };
  // Whoever comes from a refusal has asked already.
  useEffect(() => {
    if (action) ask();
  }, []);
  const onSubmit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    ask();
  };
  return (
    <>
      <form onSubmit={onSubmit} ref={form}>
        <p>May this one do that, and what decides?</p>
        <Field
          label="Principal"
          name="Principal"
          placeholder={session()?.accessKeyId ?? ""}
          hint="An access key id, or the name or ARN of an IAM user or role; empty: you"
        />
        <Field label="Action" name="Action" required defaultValue={action || "chime:SendChannelMessage"} />
        <Field label="Resource" name="Resource" defaultValue={resource} hint="The ARN of what it is done to" />
        <Field label="Bearer" name="Bearer" defaultValue={bearer} hint="The ARN of the user or bot who acts" />
        <button type="submit">Ask</button>
      </form>
      {error !== undefined && <Failed error={error} />}
      {answer && <Answered of={answer} />}
    </>
  );
}

const Answered = ({ of }: { of: Answer }) => (
  <section class={`notice ${of.Allowed ? "allowed" : "failed"}`} aria-live="polite">
    <p>
      <strong>{of.Allowed ? "Allowed" : "Not allowed"}</strong>
      <span class="quiet">decided by: {of.DecidedBy}</span>
    </p>
    <p class="words">{of.Reason}</p>
    {of.Principal && (
      <p class="quiet">
        Of <code>{of.Principal}</code>
      </p>
    )}
    {of.Statements && of.Statements.length !== 0 && (
      <Table caption="Statements that were looked at" heads={["Policy", "Statement", "Asked", "It says"]}>
        {of.Statements.map((statement, place) => (
          <tr key={place} class={statement.Decides ? "matched" : ""}>
            <td>{statement.Policy}</td>
            <td>{statement.Sid || "–"}</td>
            <td>
              <code>
                {statement.Action} {statement.Resource}
              </code>
            </td>
            <td>
              <strong>{statement.Matched ? statement.Effect : "nothing"}</strong>
              {statement.Decides && ", and decides"}
              {statement.Why && <span class="quiet">: {statement.Why}</span>}
            </td>
          </tr>
        ))}
      </Table>
    )}
    {of.Assumed && (
      <p class="quiet">
        Assumed of the request: <code>{JSON.stringify(of.Assumed)}</code>
      </p>
    )}
  </section>
);
