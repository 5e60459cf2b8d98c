/// App instances, and of one its users, channels, bots and administrators.

import { useState } from "preact/hooks";
import * as chime from "../chime";
import { Arn, Choice, Field, Listed, Make, Shown, Table, Tabs, useLoaded } from "../parts";
import { go, hrefOf } from "../route";

export function Instances() {
  const [round, setRound] = useState(0);
  const make = async (field: (name: string) => string): Promise<void> => {
    await chime.createAppInstance(field("name"));
    setRound(round + 1);
  };
  return (
    <>
      <h1>App instances</h1>
      <p class="quiet">Each is a world of its own: users, channels and bots of one never meet those of another.</p>
      <Listed pager={chime.listAppInstances} keys={[round]} empty="There is none yet. Make one below.">
        {(instances) => (
          <Table caption="App instances" heads={["Name", "ARN"]}>
            {instances.map(({ AppInstanceArn, Name }) => (
              <tr key={AppInstanceArn}>
                <td>
                  <a href={hrefOf("instance", AppInstanceArn, "users")}>{Name ?? chime.idOf(AppInstanceArn)}</a>
                </td>
                <td>
                  <Arn of={AppInstanceArn} />
                </td>
              </tr>
            ))}
          </Table>
        )}
      </Listed>
      <Make title="Make an app instance" act={make}>
        <Field label="Name" name="name" required maxLength={256} />
      </Make>
    </>
  );
}

const TABS = ["users", "channels", "bots", "administrators"] as const;

export function Instance({ arn, tab = "users", user }: { arn: string; tab?: string; user?: string }) {
  const instance = useLoaded(() => chime.describeAppInstance(arn), [arn]);
  return (
    <>
      <header class="title">
        <p class="quiet">
          <a href={hrefOf("instances")}>App instances</a> /
        </p>
        <h1>{instance.value?.Name ?? chime.idOf(arn)}</h1>
        <Arn of={arn} />
        <Tabs label="Of this app instance" current={tab} of={TABS.map((tab) => [hrefOf("instance", arn, tab), tab])} />
      </header>
      {tab === "channels" ? (
        <Channels arn={arn} user={user} />
      ) : tab === "bots" ? (
        <Bots arn={arn} />
      ) : tab === "administrators" ? (
        <Administrators arn={arn} />
      ) : (
        <Users arn={arn} />
      )}
    </>
  );
}

function Users({ arn }: { arn: string }) {
  const [round, setRound] = useState(0);
  const make = async (field: (name: string) => string): Promise<void> => {
    await chime.createUser(arn, field("id"), field("name"));
    setRound(round + 1);
  };
  return (
    <>
      <Listed pager={chime.listUsers(arn)} keys={[arn, round]} empty="There are no users yet.">
        {(users) => (
          <Table caption="Users" heads={["Name", "Id", "Channels"]}>
            {users.map(({ AppInstanceUserArn, Name }) => (
              <tr key={AppInstanceUserArn}>
                <td>{Name}</td>
                <td>
                  <code title={AppInstanceUserArn}>{chime.idOf(AppInstanceUserArn)}</code>
                </td>
                <td>
                  <a href={hrefOf("instance", arn, "channels", AppInstanceUserArn)}>
                    their channels<span class="aloud">: {Name ?? chime.idOf(AppInstanceUserArn)}</span>
                  </a>
                </td>
              </tr>
            ))}
          </Table>
        )}
      </Listed>
      <Make title="Make a user" act={make}>
        <Field label="Id" name="id" required maxLength={64} hint="Letters, digits and - _ . : @" />
        <Field label="Name" name="name" required maxLength={100} />
      </Make>
    </>
  );
}

function Channels({ arn, user }: { arn: string; user: string | undefined }) {
  const users = useLoaded(async () => (await chime.listUsers(arn)()).items, [arn]);
  const looking = user ?? users.value?.[0]?.AppInstanceUserArn;
  const known = users.value ?? [];
  const options: [string, string][] = known.map((one) => [
    one.AppInstanceUserArn,
    one.Name ?? chime.idOf(one.AppInstanceUserArn),
  ]);
  if (looking !== undefined && !options.some(([one]) => one === looking)) options.unshift([looking, chime.idOf(looking)]);
  if (looking === undefined) {
    return (
      <Shown of={users}>
        {() => <p class="empty">Channels are seen by somebody, and there are no users yet.</p>}
      </Shown>
    );
  }
  return <ChannelsAs arn={arn} user={looking} options={options} />;
}

const WHICH: [string, string][] = [
  ["own", "their own"],
  ["PUBLIC", "all that are public"],
  ["PRIVATE", "all that are private (administrators)"],
];

function ChannelsAs({ arn, user, options }: { arn: string; user: string; options: [string, string][] }) {
  const [which, setWhich] = useState("own");
  const [round, setRound] = useState(0);
  const pager: chime.Pager<chime.Channel> =
    which === "own"
      ? async (next) => {
          const page = await chime.listOwnChannels(user)(next);
          return { items: page.items.map((membership) => membership.ChannelSummary), next: page.next };
        }
      : chime.listChannels(arn, which, user);
  const make = async (field: (name: string) => string): Promise<void> => {
    const { ChannelArn } = await chime.createChannel(arn, user, field("name"), field("privacy"));
    setRound(round + 1);
    go("channel", ChannelArn, user);
  };
  return (
    <>
      <div class="choices">
        <Choice
          label="As"
          value={user}
          options={options}
          onChoose={(user) => go("instance", arn, "channels", user)}
        />
        <Choice label="Channels" value={which} options={WHICH} onChoose={setWhich} />
      </div>
      <Listed pager={pager} keys={[arn, user, which, round]} empty="This user sees no such channel.">
        {(channels) => (
          <Table caption="Channels" heads={["Name", "Privacy", "Mode", "Last message", "Id"]}>
            {channels.map((channel) => (
              <tr key={channel.ChannelArn}>
                <td>
                  <a href={hrefOf("channel", channel.ChannelArn, user)}>{channel.Name}</a>
                </td>
                <td>{channel.Privacy.toLowerCase()}</td>
                <td>{channel.Mode.toLowerCase()}</td>
                <td>
                  {channel.LastMessageTimestamp === undefined
                    ? "none"
                    : new Date(chime.timeOf(channel.LastMessageTimestamp)).toLocaleString()}
                </td>
                <td>
                  <code title={channel.ChannelArn}>{chime.idOf(channel.ChannelArn)}</code>
                </td>
              </tr>
            ))}
          </Table>
        )}
      </Listed>
      <Make title="Make a channel" act={make}>
        <Field label="Name" name="name" required maxLength={256} />
        <div class="field">
          <label>
            Privacy
            <select name="privacy">
              <option value="PRIVATE">private</option>
              <option value="PUBLIC">public</option>
            </select>
          </label>
        </div>
      </Make>
    </>
  );
}

function Bots({ arn }: { arn: string }) {
  return (
    <Listed pager={chime.listBots(arn)} keys={[arn]} empty="There are no bots.">
      {(bots) => (
        <Table caption="Bots" heads={["Name", "ARN"]}>
          {bots.map(({ AppInstanceBotArn, Name }) => (
            <tr key={AppInstanceBotArn}>
              <td>{Name}</td>
              <td>
                <Arn of={AppInstanceBotArn} />
              </td>
            </tr>
          ))}
        </Table>
      )}
    </Listed>
  );
}

function Administrators({ arn }: { arn: string }) {
  return (
    <Listed pager={chime.listAdmins(arn)} keys={[arn]} empty="There are no administrators.">
      {(admins) => (
        <Table caption="Administrators" heads={["Name", "ARN"]}>
          {admins.map(({ Admin }) => (
            <tr key={Admin.Arn}>
              <td>{Admin.Name}</td>
              <td>
                <Arn of={Admin.Arn} />
              </td>
            </tr>
          ))}
        </Table>
      )}
    </Listed>
  );
}
