/// Signature Version 4 by WebCrypto: headers of a request, or the query of a socket.
///
/// `crypto.subtle` is there only in secure contexts: https, and http on this machine.

export interface Credentials {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string;
}

export interface Scope {
  region: string;
  service: string;
}

export interface Unsigned {
  method: string;
  /// As it goes over the wire.
  path: string;
  query: [string, string][];
  /// Names in lower case, all of which are signed.
  headers: Record<string, string>;
  body: string;
}

const ALGORITHM = "AWS4-HMAC-SHA256";
/// How long after it was made a socket may be opened.
const EXPIRES_SECONDS = "60";

const utf8 = new TextEncoder();

export const canSign = (): boolean => globalThis.crypto?.subtle !== undefined;

/// RFC 3986: all but what it calls unreserved.
export const encode = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);

export const encodeQuery = (query: [string, string][]): string =>
  query.map(([name, value]) => `${encode(name)}=${encode(value)}`).join("&");

const hex = (bytes: ArrayBuffer): string =>
  Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");

const sha256 = async (text: string): Promise<string> => hex(await crypto.subtle.digest("SHA-256", utf8.encode(text)));

async function hmac(key: BufferSource, text: string): Promise<ArrayBuffer> {
  const imported = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return crypto.subtle.sign("HMAC", imported, utf8.encode(text));
}

const signingKeys = new Map<string, Promise<ArrayBuffer>>();

/// A key of one secret, day, region and service; made once.
function signingKey(secret: string, day: string, { region, service }: Scope): Promise<ArrayBuffer> {
  const name = [secret, day, region, service].join("\n");
  let key = signingKeys.get(name);
  if (key === undefined) {
    key = [day, region, service, "aws4_request"].reduce(
      async (derived, part) => hmac(await derived, part),
      Promise.resolve(utf8.encode(`AWS4${secret}`).buffer as ArrayBuffer),
    );
    signingKeys.set(name, key);
  }
  return key;
}

export const forgetKeys = (): void => signingKeys.clear();

const byName = <T>([a]: [string, T], [b]: [string, T]): number => (a < b ? -1 : a > b ? 1 : 0);

async function signatureOf(of: Unsigned, credentials: Credentials, scope: Scope, time: string): Promise<string> {
  const headers = Object.entries(of.headers).sort(byName);
  const canonical = [
    of.method,
    // Every service but S3 encodes the path of the wire once more.
    of.path.split("/").map(encode).join("/"),
    encodeQuery([...of.query].sort(byName)),
    ...headers.map(([name, value]) => `${name}:${value.trim()}`),
    "",
    headers.map(([name]) => name).join(";"),
    await sha256(of.body),
  ].join("\n");
  const day = time.slice(0, 8);
  const place = `${day}/${scope.region}/${scope.service}/aws4_request`;
  const text = [ALGORITHM, time, place, await sha256(canonical)].join("\n");
  return hex(await hmac(await signingKey(credentials.secretAccessKey, day, scope), text));
}

const timeOf = (now: Date): string => now.toISOString().replace(/[-:]|\.\d+/g, "");

const credentialOf = ({ accessKeyId }: Credentials, scope: Scope, time: string): string =>
  `${accessKeyId}/${time.slice(0, 8)}/${scope.region}/${scope.service}/aws4_request`;

/// The headers of a request, with those that sign it. The browser itself sends `host`.
export async function signed(
  unsigned: Unsigned,
  credentials: Credentials,
  scope: Scope,
  now: Date,
): Promise<Record<string, string>> {
  const time = timeOf(now);
  const headers: Record<string, string> = { ...unsigned.headers, "x-amz-date": time };
  if (credentials.sessionToken) headers["x-amz-security-token"] = credentials.sessionToken;
  const all = { ...headers, host: location.host };
  const signature = await signatureOf({ ...unsigned, headers: all }, credentials, scope, time);
  const names = Object.keys(all).sort().join(";");
  const credential = credentialOf(credentials, scope, time);
  headers.authorization = `${ALGORITHM} Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`;
  return headers;
}

/// The query of a path that is opened, not fetched, as amazon-chime-sdk-js signs it.
export async function presigned(
  path: string,
  parameters: Record<string, string>,
  credentials: Credentials,
  scope: Scope,
  now: Date,
): Promise<string> {
  const time = timeOf(now);
  const query: [string, string][] = Object.entries({
    ...parameters,
    "X-Amz-Algorithm": ALGORITHM,
    "X-Amz-Credential": credentialOf(credentials, scope, time),
    "X-Amz-Date": time,
    "X-Amz-Expires": EXPIRES_SECONDS,
    "X-Amz-SignedHeaders": "host",
    ...(credentials.sessionToken ? { "X-Amz-Security-Token": credentials.sessionToken } : {}),
  });
  const unsigned = { method: "GET", path, query, headers: { host: location.host }, body: "" };
  const signature = await signatureOf(unsigned, credentials, scope, time);
  return encodeQuery([...query.sort(byName), ["X-Amz-Signature", signature]]);
}
