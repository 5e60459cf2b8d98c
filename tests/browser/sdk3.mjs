// AWS SDK for JavaScript v3, behind one function.
import * as sdk from "@aws-sdk/client-chime-sdk-messaging";

export const version = "v3";

export function makeClient(options) {
  const client = new sdk.ChimeSDKMessagingClient(options);
  return { client, call: (name, parameters) => client.send(new sdk[`${name}Command`](parameters)) };
}
