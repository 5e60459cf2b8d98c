/// What `/_carillon/metrics` said lately: the text of Prometheus, parsed, and kept for as long as the tab lives.

import { refusal } from "./api";

export type Kind = "counter" | "gauge" | "histogram" | "info" | "unknown";

export interface Sample {
  at: number;
  /// Values by what stands before them: a name, and labels.
  values: Map<string, number>;
}

export interface Family {
  name: string;
  kind: Kind;
  help: string;
}

export interface Line {
  words: string;
  /// One for each sample; NaN where nothing is known.
  points: number[];
}

const EVERY_MS = 2_000;
const SAMPLES_MAX = 150;

const samples: Sample[] = [];
const families = new Map<string, Family>();
let token = "";

export const bear = (text: string): void => {
  token = text;
};

/// Where a name in the text belongs: counters and histograms have several of them.
const SUFFIX = /_(?:total|bucket|sum|count|created|info)$/;
const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

export function parse(text: string, at: number): Sample {
  const values = new Map<string, number>();
  for (const line of text.split("\n")) {
    const said = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (said) {
      const [, what, name, rest] = said as unknown as [string, string, string, string];
      const family = families.get(name) ?? { name, kind: "unknown", help: "" };
      if (what === "HELP") family.help = rest.replace(/\.$/, "");
      else family.kind = rest as Kind;
      families.set(name, family);
      continue;
    }
    const found = LINE.exec(line);
    if (found) values.set(`${found[1]}{${found[2] ?? ""}}`, Number(found[3]));
  }
  return { at, values };
}

async function take(): Promise<void> {
  const headers: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {};
  const answer = await fetch("/_carillon/metrics", { headers, cache: "no-store" });
  if (!answer.ok) throw await refusal(answer);
  samples.push(parse(await answer.text(), Date.now()));
  if (SAMPLES_MAX < samples.length) samples.shift();
}

/// Measures until it is told to stop; `told` of each sample, or of why there is none.
export function watch(told: (error?: unknown) => void): () => void {
  let timer: number | undefined;
  let isOver = false;
  const round = async (): Promise<void> => {
    const outcome = await take().then(
      () => undefined,
      (error: unknown) => error ?? new Error("unknown"),
    );
    if (isOver) return;
    told(outcome);
    if (outcome === undefined) timer = window.setTimeout(() => void round(), EVERY_MS);
  };
  void round();
  return () => {
    isOver = true;
    window.clearTimeout(timer);
  };
}

export const list = (): Family[] => [...families.values()];
export const last = (): Sample | undefined => samples.at(-1);

export const labelsOf = (text: string): Record<string, string> =>
  Object.fromEntries([...text.matchAll(LABEL)].map((found) => [found[1]!, found[2]!]));

/// The labels of a family's lines, as they stand in the text, for each name in it.
function keysOf(name: string): { key: string; name: string; labels: string }[] {
  const keys = [...(last()?.values.keys() ?? [])].map((key) => {
    const brace = key.indexOf("{");
    return { key, name: key.slice(0, brace), labels: key.slice(brace + 1, -1) };
  });
  return keys.filter((one) => one.name === name || one.name.replace(SUFFIX, "") === name);
}

const wordsOf = (labels: string): string => Object.values(labelsOf(labels)).join(" ") || "all";

const rates = (key: string): number[] =>
  samples.map((sample, place) => {
    const before = samples[place - 1];
    const [now, then] = [sample.values.get(key), before?.values.get(key)];
    if (before === undefined || now === undefined) return Number.NaN;
    // What began after the last look began at nothing; a restart does, too.
    const from = then === undefined || now < then ? 0 : then;
    return (now - from) / ((sample.at - before.at) / 1000);
  });

/// What is drawn of a family.
export function linesOf({ name, kind }: Family): Line[] {
  const keys = keysOf(name);
  if (kind === "histogram") return quantiles(keys.filter((one) => one.name === `${name}_bucket`));
  if (kind === "counter") {
    return keys
      .filter((one) => one.name === `${name}_total` || one.name === name)
      .map(({ key, labels }) => ({ words: wordsOf(labels), points: rates(key) }));
  }
  return keys
    .filter((one) => one.name === name)
    .map(({ key, labels }) => ({
      words: wordsOf(labels),
      points: samples.map((sample) => sample.values.get(key) ?? Number.NaN),
    }));
}

/// The median and the 99th percentile of what was measured between two looks, over all labels.
function quantiles(buckets: { key: string; labels: string }[]): Line[] {
  const bounds = new Map<number, string[]>();
  for (const { key, labels } of buckets) {
    const le = labelsOf(labels).le ?? "+Inf";
    const bound = le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le);
    bounds.set(bound, [...(bounds.get(bound) ?? []), key]);
  }
  const ordered = [...bounds].sort(([a], [b]) => a - b);
  const quantile = (of: number): number[] =>
    samples.map((sample, place) => {
      const before = samples[place - 1];
      if (before === undefined) return Number.NaN;
      const counts = ordered.map(([bound, keys]) => {
        const grown = keys.map((key) => (sample.values.get(key) ?? 0) - (before.values.get(key) ?? 0));
        return { bound, count: grown.reduce((sum, one) => sum + one, 0) };
      });
      const all = counts.at(-1)?.count ?? 0;
      const place_ = counts.findIndex(({ count }) => of * all <= count);
      if (all <= 0 || place_ < 0) return Number.NaN;
      // Within a bucket they are taken to lie evenly; above the last bound nothing is known but the bound.
      const [low, high] = [counts[place_ - 1], counts[place_]!];
      const from = low?.bound ?? 0;
      if (high.bound === Number.POSITIVE_INFINITY) return from;
      const within = high.count - (low?.count ?? 0);
      return within <= 0 ? high.bound : from + ((high.bound - from) * (of * all - (low?.count ?? 0))) / within;
    });
  return [
    { words: "median", points: quantile(0.5) },
    { words: "99 %", points: quantile(0.99) },
  ];
}

/// The last value of a family's line with one of these labels.
export function valuesOf(name: string, label: string): number | undefined {
  const found = keysOf(name).find(
    (one) => (one.name === name || one.name === `${name}_total`) && Object.values(labelsOf(one.labels)).includes(label),
  );
  return found && last()?.values.get(found.key);
}

/// How often each operation was answered, and how often not with what was asked for.
export function operations(): { name: string; calls: number; refused: number; codes: string }[] {
  const counts = new Map<string, Map<string, number>>();
  for (const { key, name, labels } of keysOf("carillon_request_seconds")) {
    if (name !== "carillon_request_seconds_count") continue;
    const { operation = "", code = "" } = labelsOf(labels);
    const codes = counts.get(operation) ?? new Map<string, number>();
    counts.set(operation, codes.set(code, last()?.values.get(key) ?? 0));
  }
  const rows = [...counts].map(([name, codes]) => {
    const wrong = [...codes].filter(([code, count]) => code !== "OK" && 0 < count);
    const calls = [...codes.values()].reduce((sum, count) => sum + count, 0);
    const refused = wrong.reduce((sum, [, count]) => sum + count, 0);
    return { name, calls, refused, codes: wrong.map(([code, count]) => `${code} ${count}`).join(", ") };
  });
  return rows.filter(({ calls }) => 0 < calls).sort((a, b) => b.calls - a.calls);
}

/// Counters of a family and what they have come to.
export function totalsOf(name: string): { labels: Record<string, string>; total: number; lately: number }[] {
  return keysOf(name)
    .filter((one) => one.name === `${name}_total` || one.name === name)
    .map(({ key, labels }) => {
      const total = last()?.values.get(key) ?? 0;
      const first = samples[0]?.values.get(key) ?? 0;
      return { labels: labelsOf(labels), total, lately: Math.max(0, total - first) };
    });
}
