/// One signed call of the public interfaces, and how they refuse.

import { isInRegion, session } from "./session";
import { encode, encodeQuery, presigned, signed, type Unsigned } from "./signature";

/// A refusal, in the server's own words.
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly exception: string,
    message: string,
    readonly requestId: string | null,
  ) {
    super(message);
  }

  /// As whom and of what it was asked.
  bearer = "";
  resource = "";

  /// What a policy would have to allow, where a policy refused.
  get denied(): string | null {
    return /not authorized to perform: ([\w:]+)/.exec(this.message)?.[1] ?? null;
  }
}

export interface Call {
  query?: Record<string, string | number | undefined>;
  body?: unknown;
  /// The user who acts.
  bearer?: string;
}

/// What is added to this machine's clock, where the server's is another.
let ahead_ms = 0;
/// A difference that signatures bear.
const AHEAD_MS_MIN = 60_000;

const now = (): Date => new Date(Date.now() + ahead_ms);

/// The path of a resource: what is interpolated is one segment.
export const path = (parts: TemplateStringsArray, ...values: string[]): string => String.raw(
  { raw: parts },
  ...values.map(encode),
);

export const newToken = (): string => crypto.randomUUID();

/// Sends a request signed for a service. A server of another region or time says so, and is asked once more.
export async function send(service: string, unsigned: Unsigned, isRepeated = false): Promise<Response> {
  const who = session();
  if (who === null) throw new Error("Nobody is signed in");
  const headers = await signed(unsigned, who, { region: who.region, service }, now());
  const query = encodeQuery(unsigned.query);
  const answer = await fetch(query ? `${unsigned.path}?${query}` : unsigned.path, {
    method: unsigned.method,
    headers,
    ...(unsigned.body && { body: unsigned.body }),
    cache: "no-store",
    redirect: "error",
  });
  if (answer.status === 403 && !isRepeated && (await adapts(answer.clone()))) return send(service, unsigned, true);
  return answer;
}

async function adapts(answer: Response): Promise<boolean> {
  const region = /scoped to region '([\w-]+)'/.exec(await answer.text())?.[1];
  if (region !== undefined) {
    isInRegion(region);
    return true;
  }
  const said = Date.parse(answer.headers.get("date") ?? "");
  const is = said - Date.now();
  if (Number.isNaN(is) || Math.abs(is - ahead_ms) < AHEAD_MS_MIN) return false;
  ahead_ms = is;
  return true;
}

export async function refusal(answer: Response): Promise<Refused> {
  const text = await answer.text();
  let said: { Code?: string; Message?: string } = {};
  try {
    said = JSON.parse(text);
  } catch {
    said = { Message: text };
  }
  const exception = answer.headers.get("x-amzn-errortype") ?? said.Code ?? `HTTP ${answer.status}`;
  return new Refused(
    answer.status,
    exception,
    said.Message || `The server answered ${answer.status} and no more`,
    answer.headers.get("x-amzn-requestid"),
  );
}

/// A call of an operation; its answer is JSON, or nothing.
export async function call<T>(method: string, path: string, { query = {}, body, bearer }: Call = {}): Promise<T> {
  const asked = Object.entries(query).filter(([, value]) => value !== undefined);
  const answer = await send("chime", {
    method,
    path,
    query: asked.map(([name, value]) => [name, String(value)]),
    headers: {
      ...(bearer && { "x-amz-chime-bearer": bearer }),
      ...(body !== undefined && { "content-type": "application/json" }),
    },
    body: body === undefined ? "" : JSON.stringify(body),
  });
  if (!answer.ok) {
    const refused = await refusal(answer);
    refused.bearer = bearer ?? "";
    refused.resource = decodeURIComponent(/arn%3A[^/]+/.exec(path)?.[0] ?? String(query["app-instance-arn"] ?? ""));
    throw refused;
  }
  const text = await answer.text();
  return (text ? JSON.parse(text) : {}) as T;
}

/// Where a user's socket is opened: at the server that this page came from.
export async function socketUrl(userArn: string, sessionId: string, resumeFrom: string | null): Promise<string> {
  const who = session();
  if (who === null) throw new Error("Nobody is signed in");
  const parameters = { sessionId, userArn, ...(resumeFrom && { "resume-from": resumeFrom }) };
  const query = await presigned("/connect", parameters, who, { region: who.region, service: "chime" }, now());
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/connect?${query}`;
}
