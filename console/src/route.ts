/// Which page is shown stands behind the `#`, so that it can be linked to and nothing of it reaches the server.

import { useEffect, useState } from "preact/hooks";

export const hrefOf = (...parts: string[]): string => `#/${parts.map(encodeURIComponent).join("/")}`;

const parse = (): string[] =>
  location.hash
    .replace(/^#\/?/, "")
    .split("/")
    .map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return part;
      }
    });

export function useRoute(): string[] {
  const [route, setRoute] = useState(parse);
  useEffect(() => {
    const onChange = (): void => setRoute(parse());
    addEventListener("hashchange", onChange);
    return () => removeEventListener("hashchange", onChange);
  }, []);
  return route;
}

export const go = (...parts: string[]): void => {
  location.hash = hrefOf(...parts);
};
