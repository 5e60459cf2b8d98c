// AWS SDK for JavaScript v2, behind the two functions that the page needs.
import ChimeSDKMessaging from "aws-sdk/clients/chimesdkmessaging";
import { Credentials } from "aws-sdk/global";

export const version = "v2";

class Exchanged extends Credentials {
  constructor(exchange) {
    super();
    this.exchange = exchange;
  }

  refresh(done) {
    this.exchange().then((given) => {
      this.accessKeyId = given.AccessKeyId;
      this.secretAccessKey = given.SecretAccessKey;
      this.sessionToken = given.SessionToken;
      this.expireTime = new Date(given.Expiration);
      done();
    }, done);
  }
}

export function makeClient(options, exchange) {
  const credentials = new Exchanged(exchange);
  const client = new ChimeSDKMessaging({ ...options, credentials });
  const method = (name) => name[0].toLowerCase() + name.slice(1);
  return {
    client,
    signIn: () => credentials.getPromise(),
    call: (name, parameters) => client[method(name)](parameters).promise(),
  };
}
