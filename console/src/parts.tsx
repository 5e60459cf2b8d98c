/// What every page is made of: loading, lists, refusals, forms.

import type { ComponentChildren, JSX, TargetedSubmitEvent } from "preact";
import { useCallback, useEffect, useId, useRef, useState } from "preact/hooks";
import { Refused } from "./api";
import type { Pager } from "./chime";
import { hrefOf } from "./route";

export type Loaded<T> = { value?: T; error?: unknown; reload: () => void };

/// Loads when it appears, and anew when `keys` change.
export function useLoaded<T>(load: () => Promise<T>, keys: unknown[]): Loaded<T> {
  const [state, setState] = useState<{ value?: T; error?: unknown }>({});
  const [round, setRound] = useState(0);
  const asked = useRef(load);
  asked.current = load;
  const key = JSON.stringify(keys);
  useEffect(() => {
    let isCurrent = true;
    asked.current().then(
      (value) => isCurrent && setState({ value }),
      (error) => isCurrent && setState({ error }),
    );
    return () => {
      isCurrent = false;
    };
  }, [key, round]);
  const reload = useCallback(() => setRound((round) => round + 1), []);
  return { ...state, reload };
}

/// Shows what was loaded, or why it was not.
export function Shown<T>({ of, children }: { of: Loaded<T>; children: (value: T) => ComponentChildren }) {
  if (of.error !== undefined) return <Failed error={of.error} retry={of.reload} />;
  if (of.value === undefined) return <p class="quiet" role="status">Loading…</p>;
  return <>{children(of.value)}</>;
}

/// A refusal, in the server's words, and the way to find out what refused.
export function Failed({ error, retry }: { error: unknown; retry?: () => void }) {
  const refused = error instanceof Refused ? error : null;
  const denied = refused?.denied;
  const why = refused && denied && hrefOf("access", "why", denied, refused.resource, refused.bearer);
  return (
    <div class="notice failed" role="alert">
      <p>
        <strong>{refused ? refused.exception : "It did not work"}</strong>
        {refused?.requestId && <code class="quiet">request {refused.requestId}</code>}
      </p>
      <p class="words">{error instanceof Error ? error.message : String(error)}</p>
      <p class="actions">
        {why && <a href={why}>Which statement decides?</a>}
        {retry && (
          <button type="button" class="plain" onClick={retry}>
            Try again
          </button>
        )}
      </p>
    </div>
  );
}

/// A list that is loaded page by page.
export function Listed<T>({
  pager,
  keys,
  empty,
  children,
}: {
  pager: Pager<T>;
  /// What the list depends on.
  keys: unknown[];
  empty: ComponentChildren;
  children: (items: T[]) => ComponentChildren;
}) {
  const [more, setMore] = useState<{ items: T[]; next?: string | undefined }>({ items: [] });
  const [error, setError] = useState<unknown>();
  const first = useLoaded(async () => {
    const page = await pager();
    setMore({ items: [], next: page.next });
    setError(undefined);
    return page.items;
  }, keys);
  const onMore = (): void => {
    pager(more.next).then((page) => {
      setMore(({ items }) => ({ items: [...items, ...page.items], next: page.next }));
    }, setError);
  };
  return (
    <Shown of={first}>
      {(items) => {
        const all = [...items, ...more.items];
        return (
          <>
            {all.length === 0 ? <div class="empty">{empty}</div> : children(all)}
            {error !== undefined && <Failed error={error} />}
            {more.next !== undefined && (
              <button type="button" class="plain" onClick={onMore}>
                More
              </button>
            )}
          </>
        );
      }}
    </Shown>
  );
}

/// A table with a caption that only readers aloud need.
export function Table({ caption, heads, children }: { caption: string; heads: string[]; children: ComponentChildren }) {
  return (
    <div class="scrolls" tabIndex={0} role="region" aria-label={caption}>
      <table>
        <caption class="aloud">{caption}</caption>
        <thead>
          <tr>
            {heads.map((head) => (
              <th scope="col" key={head}>
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

/// An ARN or id, whole for whoever copies it.
export const Arn = ({ of }: { of: string }) => (
  <code class="arn" title={of}>
    {of}
  </code>
);

export function Field({
  label,
  hint,
  ...input
}: { label: string; hint?: string } & JSX.IntrinsicElements["input"]) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input id={id} autocomplete="off" spellcheck={false} {...(hint && { "aria-describedby": `${id}-hint` })} {...input} />
      {hint && (
        <small id={`${id}-hint`} class="quiet">
          {hint}
        </small>
      )}
    </div>
  );
}

export function Choice({
  label,
  value,
  options,
  onChoose,
}: {
  label: string;
  value: string;
  options: [value: string, words: string][];
  onChoose: (value: string) => void;
}) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} value={value} onChange={({ currentTarget }) => onChoose(currentTarget.value)}>
        {options.map(([value, words]) => (
          <option key={value} value={value}>
            {words}
          </option>
        ))}
      </select>
    </div>
  );
}

/// A form that makes something: closed until it is wanted, and it says why it could not.
export function Make({
  title,
  act,
  children,
}: {
  title: string;
  act: (fields: (name: string) => string) => Promise<unknown>;
  children: ComponentChildren;
}) {
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const details = useRef<HTMLDetailsElement>(null);
  const onSubmit = (event: TargetedSubmitEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const form = event.currentTarget;
    const data = new FormData(form);
    setBusy(true);
    act((name) => String(data.get(name) ?? "").trim())
      .then(
        () => {
          setError(undefined);
          form.reset();
          if (details.current) details.current.open = false;
        },
        setError,
      )
      .finally(() => setBusy(false));
  };
  return (
    <details class="make" ref={details}>
      <summary>{title}</summary>
      <form onSubmit={onSubmit}>
        {children}
        <button type="submit" disabled={isBusy}>
          {title}
        </button>
      </form>
      {error !== undefined && <Failed error={error} />}
    </details>
  );
}

/// Links between the parts of one page.
export function Tabs({ of, current, label }: { of: [href: string, words: string][]; current: string; label: string }) {
  return (
    <nav class="tabs" aria-label={label}>
      {of.map(([href, words]) => (
        <a key={href} href={href} {...(words === current && { "aria-current": "page" as const })}>
          {words}
        </a>
      ))}
    </nav>
  );
}
