// AWS SDK for JavaScript v2, behind one function.
import ChimeSDKMessaging from "aws-sdk/clients/chimesdkmessaging";

export const version = "v2";

export function makeClient(options) {
  const client = new ChimeSDKMessaging(options);
  const method = (name) => name[0].toLowerCase() + name.slice(1);
  return { client, call: (name, parameters) => client[method(name)](parameters).promise() };
}
