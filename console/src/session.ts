/// Who is signed in: what signs stays in memory and in `sessionStorage`, which ends with the tab.

import { type Credentials, forgetKeys } from "./signature";

/// What `dev` made for whoever opens its link.
export interface Demo {
  Channels: string[];
  Users: string[];
}

export interface Session extends Credentials {
  region: string;
  demo?: Demo;
}

const KEY = "carillon.session";
/// What is signed for until the server says for which region it is.
const REGION = "us-east-1";

let current: Session | null = read();
const listeners = new Set<() => void>();

function read(): Session | null {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "null") as Session | null;
  } catch {
    return null;
  }
}

function keep(session: Session | null): void {
  current = session;
  if (session === null) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, JSON.stringify(session));
  for (const listener of listeners) listener();
}

export const session = (): Session | null => current;

export function onSession(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function signIn(credentials: Credentials, demo?: Demo): void {
  forgetKeys();
  keep({ ...credentials, region: REGION, ...(demo && { demo }) });
}

export function signOut(): void {
  forgetKeys();
  keep(null);
}

export function isInRegion(region: string): void {
  if (current) keep({ ...current, region });
}

/// Takes the code of `dev`'s link out of the address, if there is one there.
export function takeCode(): string | null {
  const code = /^#code=([0-9a-f]+)$/.exec(location.hash)?.[1] ?? null;
  if (code !== null) history.replaceState(null, "", `${location.pathname}${location.search}`);
  return code;
}

/// Signs in by the code of `dev`'s link.
export async function signInBy(code: string): Promise<Demo> {
  const answer = await fetch("/_carillon/console/session", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ Code: code }),
  });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.Message);
  signIn({ accessKeyId: said.AccessKeyId, secretAccessKey: said.SecretAccessKey }, said.Demo);
  isInRegion(said.Region);
  return said.Demo;
}
