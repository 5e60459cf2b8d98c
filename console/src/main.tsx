import "./style.css";

import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Access } from "./pages/access";
import { Audit } from "./pages/audit";
import { Conversation } from "./pages/conversation";
import { Failures } from "./pages/failures";
import { Flows } from "./pages/flows";
import { Instance, Instances } from "./pages/instances";
import { Metrics } from "./pages/metrics";
import { SignIn } from "./pages/sign_in";
import { hrefOf, useRoute } from "./route";
import { onSession, session, signInBy, signOut, takeCode } from "./session";

const PAGES: [name: string, words: string][] = [
  ["instances", "App instances"],
  ["flows", "Flows"],
  ["access", "Access"],
  ["metrics", "Metrics"],
  ["failures", "Failures"],
  ["audit", "Audit log"],
];

function App({ refused }: { refused: unknown }) {
  const route = useRoute();
  const [who, setWho] = useState(session);
  useEffect(() => onSession(() => setWho(session())), []);
  const [page = "", ...rest] = route;
  useEffect(() => {
    document.title = `${PAGES.find(([name]) => name === page)?.[1] ?? "Carillon"} · Carillon`;
    document.querySelector("main")?.focus();
  }, [route.join("/")]);
  if (who === null) return <SignIn refused={refused} />;
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), document.querySelector("main")?.focus())}>
        To the page
      </a>
      <nav class="pages" aria-label="Pages">
        <a class="brand" href={home()}>
          Carillon
        </a>
        {PAGES.map(([name, words]) => (
          <a key={name} href={hrefOf(name)} {...(isOf(page, name) && { "aria-current": "page" as const })}>
            {words}
          </a>
        ))}
        <p class="who">
          <code title={who.accessKeyId}>{who.accessKeyId}</code>
          <button type="button" class="plain" onClick={signOut}>
            Sign out
          </button>
        </p>
      </nav>
      <main id="main" tabIndex={-1}>
        <Shows page={page} rest={rest} />
      </main>
    </>
  );
}

const isOf = (page: string, name: string): boolean =>
  page === name || (name === "instances" && ["", "instance", "channel"].includes(page));

/// Where one begins: in the demo, in its conversation.
function home(): string {
  const demo = session()?.demo;
  return demo?.Channels[0] ? hrefOf("channel", demo.Channels[0], ...demo.Users) : hrefOf("instances");
}

function Shows({ page, rest: [first = "", second, third, ...others] }: { page: string; rest: string[] }) {
  switch (page) {
    case "instance":
      return <Instance arn={first} {...(second && { tab: second })} {...(third && { user: third })} />;
    case "channel":
      return <Conversation channel={first} people={[second, third, ...others].filter((one) => !!one) as string[]} />;
    case "flows":
      return <Flows arn={first} />;
    case "access":
      return (
        <Access
          tab={first || "users"}
          question={{ action: second ?? "", resource: third ?? "", bearer: others[0] ?? "" }}
        />
      );
    case "metrics":
      return <Metrics />;
    case "failures":
      return <Failures />;
    case "audit":
      return <Audit />;
    default:
      return <Instances />;
  }
}

async function start(): Promise<void> {
  const code = takeCode();
  let refused: unknown;
  if (code !== null) {
    try {
      await signInBy(code);
      location.replace(home());
    } catch (error) {
      refused = error;
    }
  } else if (session() !== null && location.hash.length < 2) {
    location.replace(home());
  }
  render(<App refused={refused} />, document.getElementById("app")!);
  // A link of `dev` that is opened where the console is open already.
  addEventListener("hashchange", () => {
    const code = takeCode();
    if (code !== null) void signInBy(code).then(() => location.replace(home()), signOut);
  });
}

void start();
