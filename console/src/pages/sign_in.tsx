/// Nobody is signed in.

import type { TargetedSubmitEvent } from "preact";
import { Failed, Field } from "../parts";
import { signIn } from "../session";
import { canSign } from "../signature";

export function SignIn({ refused }: { refused: unknown }) {
  const onSubmit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    const field = (name: string): string => String(data.get(name) ?? "").trim();
    const token = field("token");
    signIn({
      accessKeyId: field("id"),
      secretAccessKey: field("secret"),
      ...(token && { sessionToken: token }),
    });
  };
  return (
    <main class="sign-in">
      <h1>Carillon</h1>
      {refused !== undefined && <Failed error={refused} />}
      {canSign() ? (
        <form onSubmit={onSubmit}>
          <p>
            Sign in with an access key. Your browser signs each request with it; the policies of the key decide what you
            see. It is forgotten with this tab.
          </p>
          <Field label="Access key id" name="id" required autofocus />
          <Field label="Secret access key" name="secret" type="password" required />
          <Field label="Session token" name="token" type="password" hint="Of temporary credentials only" />
          <button type="submit">Sign in</button>
        </form>
      ) : (
        <p class="notice failed" role="alert">
          This page was opened over plain HTTP from another machine, and there browsers let no page sign. Open it by
          https, or by http://localhost or http://127.0.0.1 on the server’s own machine.
        </p>
      )}
    </main>
  );
}
