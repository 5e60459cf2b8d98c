/// The channel flows of an app instance: their processors, how those are, and which channels they stand before.

import { call } from "../api";
import * as chime from "../chime";
import { Arn, Choice, Failed, Field, Listed, Shown, useLoaded } from "../parts";
import { go } from "../route";

interface ProcessorState {
  ResourceArn: string;
  Kind: string;
  Gate: string;
  CallsUnderWay: number;
  Waiting: boolean;
}

export function Flows({ arn }: { arn: string }) {
  const instances = useLoaded(async () => (await chime.listAppInstances()).items, []);
  const chosen = arn || instances.value?.[0]?.AppInstanceArn;
  const options = (instances.value ?? []).map((one): [string, string] => [
    one.AppInstanceArn,
    one.Name ?? chime.idOf(one.AppInstanceArn),
  ]);
  if (chosen !== undefined && !options.some(([one]) => one === chosen)) options.unshift([chosen, chime.idOf(chosen)]);
  return (
    <>
      <h1>Flows</h1>
      <p class="quiet">
        In a channel with a flow each message waits until every processor has let it pass; one may change it or deny it.
      </p>
      {options.length !== 0 && (
        <Choice
          label="App instance"
          value={chosen ?? ""}
          options={options}
          onChoose={(instance) => go("flows", instance)}
        />
      )}
      {instances.error !== undefined && <NoList error={instances.error} />}
      {chosen !== undefined ? (
        <Of key={chosen} arn={chosen} />
      ) : (
        instances.value && <p class="empty">There is no app instance yet.</p>
      )}
    </>
  );
}

function NoList({ error }: { error: unknown }) {
  return (
    <>
      <Failed error={error} />
      <form
        onSubmit={(event) => {
          event.preventDefault();
          go("flows", String(new FormData(event.currentTarget).get("arn")));
        }}
      >
        <Field label="ARN of an app instance" name="arn" required />
        <button type="submit">Show</button>
      </form>
    </>
  );
}

function Of({ arn }: { arn: string }) {
  const states = useLoaded(
    async () => (await call<{ Processors: ProcessorState[] }>("GET", "/_carillon/v1/processors")).Processors,
    [],
  );
  return (
    <>
      {states.error !== undefined && <Failed error={states.error} retry={states.reload} />}
      <Listed
        pager={chime.listFlows(arn)}
        keys={[arn]}
        empty={
          <>
            There is no flow. <code>CreateChannelFlow</code> makes one of up to three processors, and{" "}
            <code>AssociateChannelFlow</code> puts it before a channel.
          </>
        }
      >
        {(flows) =>
          flows.map((flow) => (
            <article class="card" key={flow.ChannelFlowArn}>
              <h2>{flow.Name}</h2>
              <Arn of={flow.ChannelFlowArn} />
              <ol class="processors">
                {[...flow.Processors]
                  .sort((a, b) => a.ExecutionOrder - b.ExecutionOrder)
                  .map((processor) => (
                    <Processor key={processor.ExecutionOrder} of={processor} states={states.value} />
                  ))}
              </ol>
              <ChannelsOf flow={flow.ChannelFlowArn} />
            </article>
          ))
        }
      </Listed>
    </>
  );
}

const GATES: Record<string, string> = {
  open: "can be called",
  closed: "left alone for a while, because it keeps failing",
};

function Processor({ of, states }: { of: chime.Processor; states: ProcessorState[] | undefined }) {
  const function_ = of.Configuration.Lambda.ResourceArn;
  const state = states?.find((state) => state.ResourceArn === function_);
  return (
    <li>
      <strong>{of.Name}</strong>{" "}
      {state && (
        <span class={`status ${state.Gate === "closed" ? "failed" : "sent"}`}>
          {state.Kind}, {GATES[state.Gate] ?? state.Gate}
        </span>
      )}
      <br />
      <Arn of={function_} />
      <br />
      <span class="quiet">
        Where it cannot be called, messages {of.FallbackAction === "ABORT" ? "fail" : "go on without it"}.
        {state && 0 < state.CallsUnderWay && ` ${state.CallsUnderWay} calls are under way.`}
        {state?.Waiting && " Messages wait for it."}
      </span>
    </li>
  );
}

function ChannelsOf({ flow }: { flow: string }) {
  const channels = useLoaded(async () => (await chime.listChannelsOfFlow(flow)()).items, [flow]);
  return (
    <Shown of={channels}>
      {(channels) => (
        <p class="quiet">
          {channels.length === 0
            ? "It stands before no channel."
            : `It stands before ${channels.map((channel) => channel.Name).join(", ")}.`}
        </p>
      )}
    </Shown>
  );
}
