/// IAM by its own interface: a form in, XML out.

import { Refused, send } from "./api";
import { encodeQuery } from "./signature";

export interface IamUser {
  UserName: string;
  Arn: string;
}
export interface IamRole {
  RoleName: string;
  Arn: string;
  AssumeRolePolicyDocument: string;
}
export interface IamPolicy {
  PolicyName: string;
  Arn: string;
  DefaultVersionId: string;
}
export interface Key {
  AccessKeyId: string;
  Status: string;
  CreateDate: string;
}

const textOf = (element: Element, name: string): string => element.querySelector(`:scope > ${name}`)?.textContent ?? "";

async function ask(action: string, parameters: Record<string, string> = {}): Promise<Element> {
  const body = encodeQuery(Object.entries({ Action: action, Version: "2010-05-08", ...parameters }));
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const answer = await send("iam", { method: "POST", path: "/", query: [], headers, body });
  const document = new DOMParser().parseFromString(await answer.text(), "text/xml");
  if (!answer.ok) {
    const error = document.querySelector("Error");
    const [code, message] = error ? [textOf(error, "Code"), textOf(error, "Message")] : ["", ""];
    throw new Refused(answer.status, code || `HTTP ${answer.status}`, message, answer.headers.get("x-amzn-requestid"));
  }
  return document.documentElement.firstElementChild ?? document.documentElement;
}

const membersOf = (element: Element, list: string): Element[] => [
  ...element.querySelectorAll(`:scope > ${list} > member`),
];

/// All of a list, page by page.
async function all<T>(
  action: string,
  list: string,
  read: (member: Element) => T,
  parameters: Record<string, string> = {},
): Promise<T[]> {
  const items: T[] = [];
  let marker: string | undefined;
  do {
    const answer = await ask(action, { ...parameters, ...(marker !== undefined && { Marker: marker }) });
    items.push(...membersOf(answer, list).map(read));
    marker = textOf(answer, "IsTruncated") === "true" ? textOf(answer, "Marker") : undefined;
  } while (marker !== undefined);
  return items;
}

const record =
  <T>(...names: (keyof T & string)[]) =>
  (member: Element): T =>
    Object.fromEntries(names.map((name) => [name, textOf(member, name)])) as T;

export const listIamUsers = () => all("ListUsers", "Users", record<IamUser>("UserName", "Arn"));

export const listRoles = () =>
  all("ListRoles", "Roles", record<IamRole>("RoleName", "Arn", "AssumeRolePolicyDocument"));

export const listPolicies = () =>
  all("ListPolicies", "Policies", record<IamPolicy>("PolicyName", "Arn", "DefaultVersionId"), { Scope: "Local" });

export const listKeys = (user: string) =>
  all("ListAccessKeys", "AccessKeyMetadata", record<Key>("AccessKeyId", "Status", "CreateDate"), { UserName: user });

export interface Rule {
  name: string;
  kind: "managed" | "inline";
  document: () => Promise<string>;
}

/// What an IAM user or role may do: attached policies, and those of its own.
export async function listRules(of: "User" | "Role", name: string): Promise<Rule[]> {
  const named = { [`${of}Name`]: name };
  const attached = await all(
    `ListAttached${of}Policies`,
    "AttachedPolicies",
    record<{ PolicyName: string; PolicyArn: string }>("PolicyName", "PolicyArn"),
    named,
  );
  const inline = await all(`List${of}Policies`, "PolicyNames", (member) => member.textContent ?? "", named);
  return [
    ...attached.map((policy): Rule => ({
      name: policy.PolicyName,
      kind: "managed",
      document: () => documentOf(policy.PolicyArn),
    })),
    ...inline.map((policy): Rule => ({
      name: policy,
      kind: "inline",
      document: async () =>
        pretty(textOf(await ask(`Get${of}Policy`, { ...named, PolicyName: policy }), "PolicyDocument")),
    })),
  ];
}

/// The document of a policy, as it holds now.
export async function documentOf(arn: string): Promise<string> {
  const policy = (await ask("GetPolicy", { PolicyArn: arn })).querySelector("Policy");
  const version = policy ? textOf(policy, "DefaultVersionId") : "v1";
  const answer = await ask("GetPolicyVersion", { PolicyArn: arn, VersionId: version });
  return pretty(answer.querySelector("Document")?.textContent ?? "");
}

/// Documents come percent-encoded.
export function pretty(encoded: string): string {
  try {
    const text = encoded.startsWith("%") ? decodeURIComponent(encoded) : encoded;
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return encoded;
  }
}
