// A small chat, as an application would write it: it signs in through the credential exchange, lists, sends, edits and
// redacts through an AWS SDK, and shows what the unmodified DefaultMessagingSession of amazon-chime-sdk-js tells it.
// A sent message is shown only once its own event arrives.
//
// Bundled twice: SDK is sdk2.mjs or sdk3.mjs. What it is to do stands in the query: endpoint, region, channel, and the
// application's own token for who is signed in there.
import { ConsoleLogger, DefaultMessagingSession, LogLevel, MessagingSessionConfiguration, PrefetchOn } from "amazon-chime-sdk-js";
import { CarillonExtensions } from "EXTENSIONS";
import { makeClient, version } from "SDK";

const query = Object.fromEntries(new URLSearchParams(location.search));
const { client, signIn, call } = makeClient({ endpoint: query.endpoint, region: query.region }, exchange);
const ChannelArn = query.channel;
const messages = new Map();
const members = new Map();
const element = (id) => document.getElementById(id);
const readers = new Map();
const extensions = new CarillonExtensions({ endpoint: query.endpoint, region: query.region, credentials: async () => given });
let ChimeBearer;
let given;
let exchanges = 0;
let connects = 0;

/** Asks as the web chat sample of the Chime SDK does. Answers the credentials; whose they are, the page remembers. */
async function exchange() {
  const answer = await fetch(`${query.endpoint}/_carillon/creds`, {
    method: "POST",
    credentials: "include",
    headers: { Authorization: `Bearer ${btoa(query.token)}` },
  });
  if (!answer.ok) {
    throw new Error(`${answer.status} ${await answer.text()}`);
  }
  const { ChimeCredentials, ChimeAppInstanceUserArn, ChimeDisplayName } = await answer.json();
  ChimeBearer = ChimeAppInstanceUserArn;
  const { AccessKeyId, SecretAccessKey, SessionToken } = ChimeCredentials;
  given = { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken };
  element("user").textContent = ChimeDisplayName;
  element("exchanges").textContent = exchanges += 1;
  return ChimeCredentials;
}

function show() {
  element("members").replaceChildren(
    ...[...members.values()].sort().map((name) => Object.assign(document.createElement("li"), { textContent: name })),
  );
  element("messages").replaceChildren(...[...messages.values()].map(item));
}

function item(message) {
  const li = document.createElement("li");
  const mark = message.LastEditedTimestamp && !message.Redacted ? " (edited)" : "";
  li.className = message.Redacted ? "redacted" : "";
  li.textContent = message.Redacted ? "redacted" : `${message.Sender.Name}: ${message.Content}${mark}`;
  for (const [label, act] of [
    ["Edit", edit],
    ["Redact", redact],
  ]) {
    const button = Object.assign(document.createElement("button"), { textContent: label });
    button.onclick = () => attempt(() => act(message));
    li.append(button);
  }
  return li;
}

const at = (MessageId) => ({ ChannelArn, MessageId, ChimeBearer });
const edit = (message) => call("UpdateChannelMessage", { ...at(message.MessageId), Content: element("text").value });
const redact = (message) => call("RedactChannelMessage", at(message.MessageId));
const send = () =>
  call("SendChannelMessage", {
    ChannelArn,
    ChimeBearer,
    Content: element("text").value,
    Type: "STANDARD",
    Persistence: "PERSISTENT",
    ClientRequestToken: crypto.randomUUID(),
  });

/** Shows the name of an error, as an application would tell one from another. */
async function attempt(work) {
  try {
    await work();
  } catch (error) {
    element("error").textContent = `${error.name} ${error.code ?? ""} ${error.message}`;
  }
}

/** Who has read how far, where the channel shares that: from the list, and then from what the session hands on. */
async function loadReaders() {
  try {
    const { Members } = await extensions.listChannelReadMarkers({ ChannelArn, ChimeBearer });
    Members.filter(({ ReadMarkerTimestamp }) => ReadMarkerTimestamp).forEach(hasRead);
  } catch (error) {
    element("readers").textContent = `${error.name}`;
  }
}

function hasRead({ Member }) {
  readers.set(Member.Arn, Member.Name);
  element("readers").textContent = [...readers.values()].sort().join(" and ");
}

async function count() {
  const listed = await extensions.listUnreadCounts({ AppInstanceUserArn: ChimeBearer, ChimeBearer });
  const own = listed.UnreadCounts.find((one) => one.ChannelArn === ChannelArn);
  element("unread").textContent = `${own.UnreadCount}, ${own.UnreadMentionCount} for me`;
}

async function seen() {
  await call("UpdateChannelReadMarker", { ChannelArn, ChimeBearer });
  await count();
}

async function load() {
  const described = await call("DescribeChannel", { ChannelArn, ChimeBearer });
  element("name").textContent = described.Channel.Name;
  const memberships = await call("ListChannelMemberships", { ChannelArn, ChimeBearer });
  memberships.ChannelMemberships.forEach(({ Member }) => members.set(Member.Arn, Member.Name));
  const listed = await call("ListChannelMessages", { ChannelArn, ChimeBearer });
  listed.ChannelMessages.reverse().forEach((message) => messages.set(message.MessageId, message));
  show();
}

function receive({ type, payload }) {
  const record = payload ? JSON.parse(payload) : undefined;
  if (type.endsWith("_CHANNEL_MESSAGE")) {
    messages.set(record.MessageId, record);
  } else if (type === "CREATE_CHANNEL_MEMBERSHIP") {
    members.set(record.Member.Arn, record.Member.Name);
  } else if (type === "DELETE_CHANNEL_MEMBERSHIP") {
    members.delete(record.Member.Arn);
  } else if (type === "UPDATE_CHANNEL_READ_MARKER") {
    record.Members.forEach(hasRead);
  } else if (type === "UPDATE_CHANNEL") {
    element("name").textContent = record.Name;
  } else if (type === "CHANNEL_DETAILS") {
    const names = record.ChannelMemberships.map(({ Member }) => Member.Name).sort();
    const last = record.ChannelMessages[0]?.Content ?? "nothing";
    element("prefetched").textContent = `${record.Channel.Name} of ${names.join(" and ")}: ${last}`;
  }
  show();
}

async function connect() {
  const configuration = new MessagingSessionConfiguration(ChimeBearer, null, undefined, client);
  configuration.prefetchOn = PrefetchOn.Connect;
  const session = new DefaultMessagingSession(configuration, new ConsoleLogger("session", LogLevel.WARN));
  session.addObserver({
    messagingSessionDidStartConnecting: () => (element("status").textContent = "connecting"),
    messagingSessionDidStart: () => (element("status").textContent = `connected ${(connects += 1)}`),
    messagingSessionDidReceiveMessage: receive,
    messagingSessionDidStop: ({ code }) => (element("status").textContent = `stopped by ${code}`),
  });
  await session.start();
}

element("sdk").textContent = version;
element("seen").onclick = () => attempt(seen);
element("form").onsubmit = (event) => {
  event.preventDefault();
  attempt(async () => {
    await send();
    element("text").value = "";
  });
};
attempt(async () => {
  await signIn();
  await connect();
  await load();
  await loadReaders();
  await count();
  await call("ListChannelMembershipsForAppInstanceUser", { ChimeBearer });
});
