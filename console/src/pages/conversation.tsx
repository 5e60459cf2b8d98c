/// A channel as one or several people see it, side by side; each speaks, and is told by a socket of their own.

import type { TargetedSubmitEvent, TargetedUIEvent } from "preact";
import { useCallback, useEffect, useId, useLayoutEffect, useReducer, useRef, useState } from "preact/hooks";
import * as chime from "../chime";
import { type Event, Live, type State } from "../live";
import { Arn, Failed, Field, Listed, type Loaded, Make, Table, useLoaded } from "../parts";
import { go, hrefOf } from "../route";
import { session } from "../session";

/// The type of content that bots of Lex answer with.
const BOT_CONTENT = "application/amz-chime-lex-msgs";

export function Conversation({ channel, people }: { channel: string; people: string[] }) {
  const [first] = people;
  return first === undefined ? (
    <SpeakAs channel={channel} />
  ) : (
    <Room key={channel} channel={channel} people={people} first={first} />
  );
}

function SpeakAs({ channel }: { channel: string }) {
  const onSubmit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    go("channel", channel, String(new FormData(event.currentTarget).get("user")));
  };
  return (
    <form onSubmit={onSubmit}>
      <h1>Who looks?</h1>
      <p>A channel is seen by somebody: a user or bot of its app instance, whom your key may act for.</p>
      <Field label="ARN of the user" name="user" required placeholder={`${chime.instanceOf(channel)}/user/…`} />
      <button type="submit">Open</button>
    </form>
  );
}

function Room({ channel, people, first }: { channel: string; people: string[]; first: string }) {
  const described = useLoaded(async () => {
    const found = await chime.describeChannel(channel, first);
    // Whoever may not read the flow still reads the channel.
    const flow = found.ChannelFlowArn && (await chime.describeFlow(found.ChannelFlowArn).catch(() => null));
    return { ...found, flow: flow || null };
  }, [channel, first]);
  const isElastic = described.value?.ElasticChannelConfiguration !== undefined;
  const own = useLoaded(() => chime.describeOwnMembership(channel, first).catch(() => null), [channel, first]);
  const sub = isElastic ? own.value?.AppInstanceUserMembershipSummary.SubChannelId : undefined;
  const beside = (user: string): void => go("channel", channel, ...people.filter((one) => one !== user), user);
  return (
    <>
      <header class="title">
        <p class="quiet">
          <a href={hrefOf("instance", chime.instanceOf(channel), "channels", first)}>App instance</a> / channel
        </p>
        <h1>{described.value?.Name ?? chime.idOf(channel)}</h1>
        {described.value && (
          <p class="quiet">
            {described.value.Privacy.toLowerCase()}, {described.value.Mode.toLowerCase()}
            {described.value.ChannelFlowArn && (
              <>
                , messages pass{" "}
                <a href={hrefOf("flows", chime.instanceOf(channel))}>{described.value.flow?.Name ?? "a channel flow"}</a>
              </>
            )}
          </p>
        )}
        <Channels of={first} current={channel} people={people} />
      </header>
      {described.error !== undefined && <Failed error={described.error} retry={described.reload} />}
      <Hint channel={channel} people={people} />
      <div class="people">
        {people.map((user) => (
          <Person
            key={`${channel} ${user}`}
            channel={channel}
            user={user}
            flow={described.value?.flow?.Name}
            onLeave={
              people.length < 2
                ? undefined
                : () => go("channel", channel, ...people.filter((one) => one !== user))
            }
          />
        ))}
      </div>
      <details class="members">
        <summary>Members</summary>
        <Members channel={channel} bearer={first} sub={sub} people={people} beside={beside} />
      </details>
    </>
  );
}

/// The other channels of whoever looks first.
function Channels({ of, current, people }: { of: string; current: string; people: string[] }) {
  const channels = useLoaded(async () => (await chime.listOwnChannels(of)()).items, [of]);
  if (channels.value === undefined || channels.value.length < 2) return null;
  return (
    <nav class="tabs" aria-label="Channels">
      {channels.value.sort((a, b) => (a.ChannelSummary.Name < b.ChannelSummary.Name ? -1 : 1)).map(({ ChannelSummary: { ChannelArn, Name } }) => (
        <a
          key={ChannelArn}
          href={hrefOf("channel", ChannelArn, ...people)}
          {...(ChannelArn === current && { "aria-current": "page" as const })}
        >
          {Name}
        </a>
      ))}
    </nav>
  );
}

/// What `dev`'s demo has to try.
function Hint({ channel, people }: { channel: string; people: string[] }) {
  const channels = session()?.demo?.Channels ?? [];
  const [, rehearsal] = channels;
  if (!channels.includes(channel) || rehearsal === undefined) return null;
  return (
    <p class="notice">
      {channel === rehearsal ? (
        <>
          Here a processor reads what is said. Say <kbd>wait</kbd>, <kbd>fail</kbd> or <kbd>deny</kbd> somewhere in a
          message, and watch what its sender sees, and the other does not.
        </>
      ) : (
        <>
          Two people, each on a socket of their own: what one says, the other reads. A bot repeats it. Where a processor
          looks at messages first, they may be pending, fail or be denied:{" "}
          <a href={hrefOf("channel", rehearsal, ...people)}>try it in the other channel</a>.
        </>
      )}
    </p>
  );
}

function Members({
  channel,
  bearer,
  sub,
  people,
  beside,
}: {
  channel: string;
  bearer: string;
  sub: string | undefined;
  people: string[];
  beside: (user: string) => void;
}) {
  const [round, setRound] = useState(0);
  const add = async (field: (name: string) => string): Promise<void> => {
    await chime.addMember(channel, bearer, field("member"));
    setRound(round + 1);
  };
  return (
    <>
      <Listed
        pager={chime.listMembers(channel, bearer, sub)}
        keys={[channel, bearer, sub, round]}
        empty="Nobody is a member."
      >
        {(members) => (
          <Table caption="Members" heads={["Name", "ARN", "Here"]}>
            {members.map(({ Member }) => (
              <tr key={Member.Arn}>
                <td>{Member.Name ?? chime.idOf(Member.Arn)}</td>
                <td>
                  <Arn of={Member.Arn} />
                </td>
                <td>
                  {people.includes(Member.Arn) ? (
                    "shown"
                  ) : (
                    <button type="button" class="plain" onClick={() => beside(Member.Arn)}>
                      Show beside
                    </button>
                  )}
                </td>
              </tr>
            ))}
          </Table>
        )}
      </Listed>
      <Make title="Add a member" act={add}>
        <Field label="ARN" name="member" required placeholder={`${chime.instanceOf(channel)}/user/…`} />
      </Make>
    </>
  );
}

interface Shows extends chime.Message {
  ContentType?: string;
  LastUpdatedTimestamp?: number | string;
  /// What is shown of its status is about an edit.
  isEdit?: boolean;
  /// Its time is that of this machine.
  isGuess?: boolean;
}

type Change =
  /// What was told.
  | { is: "told"; message: Shows }
  /// What was read, perhaps before something else was told of it.
  | { is: "read"; messages: Shows[] }
  /// What was sent, until it is told of.
  | { is: "sent"; message: Shows }
  | { is: "deleted"; id: string };

function change(shown: Map<string, Shows>, change: Change): Map<string, Shows> {
  const next = new Map(shown);
  switch (change.is) {
    case "told":
      next.set(change.message.MessageId, change.message);
      break;
    case "read":
      for (const message of change.messages) {
        const known = next.get(message.MessageId);
        if (known === undefined || known.isGuess || updatedAt(known) <= updatedAt(message)) next.set(message.MessageId, message);
      }
      break;
    case "sent":
      if (!next.has(change.message.MessageId)) next.set(change.message.MessageId, change.message);
      break;
    case "deleted":
      next.delete(change.id);
  }
  return next;
}

const updatedAt = (message: Shows): number => chime.timeOf(message.LastUpdatedTimestamp ?? message.CreatedTimestamp);

function Person({
  channel,
  user,
  flow,
  onLeave,
}: {
  channel: string;
  user: string;
  flow: string | undefined;
  onLeave: (() => void) | undefined;
}) {
  const [shown, apply] = useReducer(change, new Map<string, Shows>());
  const [state, setState] = useState<State>({ is: "connecting" });
  const [editing, setEditing] = useState<Shows | null>(null);
  const who = useLoaded(() => chime.describeUser(user), [user]);
  const membership = useLoaded(() => chime.describeOwnMembership(channel, user), [channel, user]);
  const isRead = membership.value !== undefined || membership.error !== undefined;
  const sub = membership.value?.AppInstanceUserMembershipSummary.SubChannelId;
  // Nothing once all was read.
  const [earlier, setEarlier] = useState<string | null | undefined>();
  const read = async (from?: string): Promise<void> => {
    const page = await chime.listMessages(channel, user, sub)(from);
    apply({ is: "read", messages: page.items });
    setEarlier((known) => (from === undefined && known !== undefined ? known : (page.next ?? null)));
  };
  const listed = useLoaded(async () => {
    if (isRead) await read();
    return isRead;
  }, [channel, user, sub, isRead]);
  useEffect(() => {
    const live = new Live(user, {
      onState: (state) => {
        setState(state);
        // What was said while the socket was opened is on none.
        if (state.is === "live") listed.reload();
      },
      onEvent: (event) => {
        const told = changeOf(event, channel);
        if (told) apply(told);
      },
      onReload: listed.reload,
    });
    return () => live.close();
  }, [channel, user]);
  const name = who.value?.Name ?? chime.idOf(user);
  const messages = [...shown.values()].sort(
    (a, b) => chime.timeOf(a.CreatedTimestamp) - chime.timeOf(b.CreatedTimestamp) || (a.MessageId < b.MessageId ? -1 : 1),
  );
  return (
    <section class="person" aria-label={name}>
      <header>
        <h2>{name}</h2>
        <Liveness of={state} />
        {onLeave && (
          <button type="button" class="plain" aria-label={`Close ${name}`} onClick={onLeave}>
            ✕
          </button>
        )}
      </header>
      <Messages
        messages={messages}
        user={user}
        name={name}
        flow={flow}
        listed={listed}
        onEdit={setEditing}
        onEarlier={earlier ? () => read(earlier) : undefined}
        sub={sub}
        channel={channel}
      />
      <Composer
        channel={channel}
        user={user}
        name={name}
        sub={sub}
        editing={editing}
        onDone={() => setEditing(null)}
        onSent={(message) => apply({ is: "sent", message })}
      />
    </section>
  );
}

/// What an event changes of what is shown of a channel.
function changeOf({ type, payload }: Event, channel: string): Change | null {
  const message = payload as unknown as Shows & { ChannelArn?: string };
  if (!type.endsWith("_CHANNEL_MESSAGE") || message.ChannelArn !== channel) return null;
  if (type === "DELETE_CHANNEL_MESSAGE") return { is: "deleted", id: message.MessageId };
  return { is: "told", message: { ...message, isEdit: /^(PENDING|FAILED|DENIED)_UPDATE/.test(type) } };
}

function Liveness({ of }: { of: State }) {
  const words = "why" in of ? of.why : of.is === "live" ? "live" : "connecting…";
  return (
    <span class={`liveness ${of.is}`} role="status" title={words}>
      {words}
    </span>
  );
}

function Messages({
  messages,
  user,
  name,
  flow,
  listed,
  onEdit,
  onEarlier,
  channel,
  sub,
}: {
  messages: Shows[];
  user: string;
  name: string;
  flow: string | undefined;
  listed: Loaded<boolean>;
  onEdit: (message: Shows) => void;
  onEarlier: (() => Promise<void>) | undefined;
  channel: string;
  sub: string | undefined;
}) {
  const log = useRef<HTMLDivElement>(null);
  const [error, setError] = useState<unknown>();
  const isAtEnd = useRef(true);
  const onScroll = useCallback(({ currentTarget: it }: TargetedUIEvent<HTMLDivElement>) => {
    isAtEnd.current = it.scrollHeight - it.scrollTop - it.clientHeight < 40;
  }, []);
  useLayoutEffect(() => {
    if (log.current && isAtEnd.current) log.current.scrollTop = log.current.scrollHeight;
  });
  const redact = (message: Shows): void => {
    chime.redactMessage(channel, user, message.MessageId, sub).then(() => setError(undefined), setError);
  };
  return (
    <div class="log" role="log" aria-label={`Messages that ${name} sees`} tabIndex={0} ref={log} onScroll={onScroll}>
      {listed.error !== undefined && <Failed error={listed.error} retry={listed.reload} />}
      {listed.value && messages.length === 0 && <p class="empty">Nothing was said yet.</p>}
      {onEarlier && (
        <button
          type="button"
          class="plain"
          onClick={() => {
            isAtEnd.current = false;
            onEarlier().catch(setError);
          }}
        >
          Earlier messages
        </button>
      )}
      <ul>
        {messages.map((message) => (
          <Said
            key={message.MessageId}
            message={message}
            isOwn={message.Sender.Arn === user}
            flow={flow}
            onEdit={() => onEdit(message)}
            onRedact={() => redact(message)}
          />
        ))}
      </ul>
      {error !== undefined && <Failed error={error} />}
    </div>
  );
}

function Said({
  message,
  isOwn,
  flow,
  onEdit,
  onRedact,
}: {
  message: Shows;
  isOwn: boolean;
  flow: string | undefined;
  onEdit: () => void;
  onRedact: () => void;
}) {
  const status = message.Status?.Value ?? "SENT";
  const at = new Date(chime.timeOf(message.CreatedTimestamp));
  const sender = message.Sender.Name ?? chime.idOf(message.Sender.Arn);
  return (
    <li class={`said ${isOwn ? "own" : ""} ${status.toLowerCase()}`}>
      <p class="quiet">
        <strong>{sender}</strong> <time dateTime={at.toISOString()}>{at.toLocaleTimeString()}</time>
        {message.LastEditedTimestamp !== undefined && " edited"}
      </p>
      <p class="content">{message.Redacted ? <em class="quiet">redacted</em> : contentOf(message)}</p>
      {(isOwn || status !== "SENT") && (
        <p class="fate">
          <span class={`status ${status.toLowerCase()}`}>{status}</span> {whyOf(message, flow)}
          {isOwn && status === "SENT" && !message.Redacted && (
            <>
              <button type="button" class="plain" aria-label={`Edit: ${message.Content ?? ""}`} onClick={onEdit}>
                Edit
              </button>
              <button type="button" class="plain" aria-label={`Redact: ${message.Content ?? ""}`} onClick={onRedact}>
                Redact
              </button>
            </>
          )}
        </p>
      )}
    </li>
  );
}

/// What a bot says stands in a document of Lex.
function contentOf({ Content = "", ContentType }: Shows): string {
  if (ContentType !== BOT_CONTENT) return Content;
  try {
    const said = JSON.parse(Content) as { Messages: { Content?: string }[] };
    return said.Messages.map((message) => message.Content ?? "").join("\n");
  } catch {
    return Content;
  }
}

function whyOf({ Status, isEdit }: Shows, flow: string | undefined): string {
  const [what, by] = [isEdit ? "The edit" : "It", flow ? `the flow “${flow}”` : "the channel’s flow"];
  switch (Status?.Value) {
    case "PENDING":
      return `${what} waits for a processor of ${by}; only its sender sees it.`;
    case "FAILED":
      return `${Status.Detail ?? `${what} failed in ${by}`}. Only its sender sees it.`;
    case "DENIED":
      return `A processor of ${by} denied it. ${isEdit ? "What was said before stays." : "Nobody else saw it, and it is not kept."}`;
    default:
      return "";
  }
}

function Composer({
  channel,
  user,
  name,
  sub,
  editing,
  onDone,
  onSent,
}: {
  channel: string;
  user: string;
  name: string;
  sub: string | undefined;
  editing: Shows | null;
  onDone: () => void;
  onSent: (message: Shows) => void;
}) {
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    if (editing && input.current) {
      input.current.value = editing.Content ?? "";
      input.current.focus();
    }
  }, [editing]);
  const say = async (content: string): Promise<void> => {
    if (editing) {
      await chime.updateMessage(channel, user, editing.MessageId, content, sub);
      onDone();
      return;
    }
    const sent = await chime.sendMessage(channel, user, content, sub);
    onSent({
      ...sent,
      Content: content,
      Type: "STANDARD",
      CreatedTimestamp: new Date().toISOString(),
      Sender: { Arn: user, Name: name },
      isGuess: true,
    });
  };
  const onSubmit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const field = input.current!;
    const content = field.value;
    if (content.trim() === "") return;
    field.value = "";
    say(content).then(
      () => setError(undefined),
      (error) => {
        field.value ||= content;
        setError(error);
      },
    );
  };
  return (
    <form class="composer" onSubmit={onSubmit}>
      {error !== undefined && <Failed error={error} />}
      <label class="aloud" for={id}>
        {editing ? `Edit as ${name}` : `Say as ${name}`}
      </label>
      <input id={id} ref={input} placeholder={`Say as ${name}`} autocomplete="off" maxLength={4096} />
      <button type="submit">{editing ? "Save" : "Send"}</button>
      {editing && (
        <button
          type="button"
          class="plain"
          onClick={() => {
            input.current!.value = "";
            onDone();
          }}
        >
          Cancel
        </button>
      )}
    </form>
  );
}
