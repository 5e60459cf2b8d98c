/// The operations that the console calls, and what of their answers it shows.

import { call, newToken, path } from "./api";

export interface Page<T> {
  items: T[];
  next?: string | undefined;
}
export type Pager<T> = (next?: string) => Promise<Page<T>>;

export interface AppInstance {
  AppInstanceArn: string;
  Name?: string;
  Metadata?: string;
}
export interface User {
  AppInstanceUserArn: string;
  Name?: string;
}
export interface Identity {
  Arn: string;
  Name?: string;
}
export interface Channel {
  ChannelArn: string;
  Name: string;
  Mode: string;
  Privacy: string;
  LastMessageTimestamp?: number;
  ChannelFlowArn?: string;
  ElasticChannelConfiguration?: object;
}
export interface Status {
  Value: "SENT" | "PENDING" | "FAILED" | "DENIED";
  Detail?: string;
}
export interface Message {
  MessageId: string;
  Content?: string;
  Type: string;
  CreatedTimestamp: number | string;
  LastEditedTimestamp?: number | string;
  Sender: Identity;
  Redacted?: boolean;
  Status?: Status;
}
export interface Processor {
  Name: string;
  ExecutionOrder: number;
  FallbackAction: string;
  Configuration: { Lambda: { ResourceArn: string } };
}
export interface Flow {
  ChannelFlowArn: string;
  Name: string;
  Processors: Processor[];
}
export interface Bot {
  AppInstanceBotArn: string;
  Name?: string;
}

/// Pages of a list: the member of the answer that holds them, and where it is asked for.
function pager<T>(member: string, at: string, query: Record<string, string> = {}, bearer?: string): Pager<T> {
  return async (next) => {
    const answer = await call<Record<string, unknown>>("GET", at, {
      query: { ...query, "max-results": 50, "next-token": next },
      ...(bearer && { bearer }),
    });
    return { items: (answer[member] ?? []) as T[], next: answer.NextToken as string | undefined };
  };
}

export const listAppInstances = pager<AppInstance>("AppInstances", "/app-instances");

export const listUsers = (appInstance: string): Pager<User> =>
  pager("AppInstanceUsers", "/app-instance-users", { "app-instance-arn": appInstance });

export const listAdmins = (appInstance: string): Pager<{ Admin: Identity }> =>
  pager("AppInstanceAdmins", path`/app-instances/${appInstance}/admins`);

export const listBots = (appInstance: string): Pager<Bot> =>
  pager("AppInstanceBots", "/app-instance-bots", { "app-instance-arn": appInstance });

export const listFlows = (appInstance: string): Pager<Flow> =>
  pager("ChannelFlows", "/channel-flows", { "app-instance-arn": appInstance });

export const listChannelsOfFlow = (flow: string): Pager<Channel> =>
  pager("Channels", "/channels", { scope: "channel-flow-associations", "channel-flow-arn": flow });

export const listChannels = (appInstance: string, privacy: string, bearer: string): Pager<Channel> =>
  pager("Channels", "/channels", { "app-instance-arn": appInstance, privacy }, bearer);

export interface OwnMembership {
  ChannelSummary: Channel;
  AppInstanceUserMembershipSummary: { Type: string; SubChannelId?: string };
}

export const listOwnChannels = (user: string): Pager<OwnMembership> =>
  pager(
    "ChannelMemberships",
    "/channels",
    { scope: "app-instance-user-memberships", "app-instance-user-arn": user },
    user,
  );

export const describeOwnMembership = async (channel: string, user: string): Promise<OwnMembership> => {
  const query = { scope: "app-instance-user-membership", "app-instance-user-arn": user };
  const answer = await call<{ ChannelMembership: OwnMembership }>("GET", path`/channels/${channel}`, {
    query,
    bearer: user,
  });
  return answer.ChannelMembership;
};

export const listMembers = (channel: string, bearer: string, sub?: string): Pager<{ Member: Identity }> =>
  pager(
    "ChannelMemberships",
    path`/channels/${channel}/memberships`,
    sub === undefined ? {} : { "sub-channel-id": sub },
    bearer,
  );

export const describeChannel = async (channel: string, bearer: string): Promise<Channel> =>
  (await call<{ Channel: Channel }>("GET", path`/channels/${channel}`, { bearer })).Channel;

export const describeFlow = async (flow: string): Promise<Flow> =>
  (await call<{ ChannelFlow: Flow }>("GET", path`/channel-flows/${flow}`)).ChannelFlow;

export const describeUser = async (user: string): Promise<User> =>
  (await call<{ AppInstanceUser: User }>("GET", path`/app-instance-users/${user}`)).AppInstanceUser;

export const describeAppInstance = async (appInstance: string): Promise<AppInstance> =>
  (await call<{ AppInstance: AppInstance }>("GET", path`/app-instances/${appInstance}`)).AppInstance;

export const listMessages = (channel: string, bearer: string, sub?: string): Pager<Message> =>
  pager(
    "ChannelMessages",
    path`/channels/${channel}/messages`,
    { "sort-order": "DESCENDING", ...(sub !== undefined && { "sub-channel-id": sub }) },
    bearer,
  );

export const sendMessage = (channel: string, bearer: string, content: string, sub?: string) =>
  call<{ MessageId: string; Status?: Status }>("POST", path`/channels/${channel}/messages`, {
    bearer,
    body: {
      Content: content,
      Type: "STANDARD",
      Persistence: "PERSISTENT",
      ClientRequestToken: newToken(),
      ...(sub !== undefined && { SubChannelId: sub }),
    },
  });

export const updateMessage = (channel: string, bearer: string, id: string, content: string, sub?: string) =>
  call<{ Status?: Status }>("PUT", path`/channels/${channel}/messages/${id}`, {
    bearer,
    body: { Content: content, ...(sub !== undefined && { SubChannelId: sub }) },
  });

export const redactMessage = (channel: string, bearer: string, id: string, sub?: string) =>
  call("POST", path`/channels/${channel}/messages/${id}`, {
    bearer,
    query: { operation: "redact" },
    body: sub === undefined ? {} : { SubChannelId: sub },
  });

export const createAppInstance = (Name: string) =>
  call<{ AppInstanceArn: string }>("POST", "/app-instances", { body: { Name, ClientRequestToken: newToken() } });

export const createUser = (appInstance: string, id: string, name: string) =>
  call("POST", "/app-instance-users", {
    body: { AppInstanceArn: appInstance, AppInstanceUserId: id, Name: name, ClientRequestToken: newToken() },
  });

export const createChannel = (appInstance: string, bearer: string, name: string, privacy: string) =>
  call<{ ChannelArn: string }>("POST", "/channels", {
    bearer,
    body: {
      AppInstanceArn: appInstance,
      Name: name,
      Mode: "UNRESTRICTED",
      Privacy: privacy,
      ClientRequestToken: newToken(),
    },
  });

export const addMember = (channel: string, bearer: string, member: string) =>
  call("POST", path`/channels/${channel}/memberships`, { bearer, body: { MemberArn: member, Type: "DEFAULT" } });

/// An ARN without what all of a server have in common, for people.
export const shortOf = (arn: string): string =>
  arn.replace(/^arn:aws:\w+:[\w-]*:\d*:/, "").replace(/^app-instance\/[^/]+\//, "");

/// What stands behind the last slash.
export const idOf = (arn: string): string => decodeURIComponent(arn.slice(arn.lastIndexOf("/") + 1));

/// The app instance that something is of.
export const instanceOf = (arn: string): string => /^arn:[^/]+\/[^/]+/.exec(arn)?.[0] ?? arn;

/// Timestamps are seconds in answers, and text on sockets.
export const timeOf = (stamp: number | string): number =>
  typeof stamp === "number" ? stamp * 1000 : Date.parse(stamp);
