// AWS SDK for JavaScript v3, behind the two functions that the page needs.
import * as sdk from "@aws-sdk/client-chime-sdk-messaging";

export const version = "v3";

export function makeClient(options, exchange) {
  const credentials = async () => {
    const given = await exchange();
    return {
      accessKeyId: given.AccessKeyId,
      secretAccessKey: given.SecretAccessKey,
      sessionToken: given.SessionToken,
      expiration: new Date(given.Expiration),
    };
  };
  const client = new sdk.ChimeSDKMessagingClient({ ...options, credentials });
  // v2 does this by itself. v3 goes by its own clock alone, which tests do not move and users may have set wrong.
  const again = (next) => async (request) => {
    try {
      return await next(request);
    } catch (error) {
      if (error.name !== "ExpiredTokenException") {
        throw error;
      }
      await client.config.credentials({ forceRefresh: true });
      return next(request);
    }
  };
  client.middlewareStack.add(again, { step: "initialize" });
  return {
    client,
    signIn: () => client.config.credentials(),
    call: (name, parameters) => client.send(new sdk[`${name}Command`](parameters)),
  };
}
