// What a change was, as lines of a difference: what is gone, what came, and what is only said.
export interface Difference {
  sign: "+" | "-" | "~" | " ";
  text: string;
}

const isObject = (v: unknown): v is Record<string, unknown> => typeof v === "object" && v !== null && !Array.isArray(v);
const plain = (v: unknown) => (typeof v === "string" ? v : JSON.stringify(v));
const OLD = ["old", "from", "before"];
const NEW = ["new", "to", "after"];

// "+ text", "- text" and "~ text" as a plan says them.
export function ofLine(line: string): Difference {
  const found = /^\s*([+~-])\s+(.*)$/.exec(line);
  return found ? { sign: found[1] as "+", text: found[2]! } : { sign: " ", text: line };
}

// Members of an audit entry, by their path; a pair of an old and a new value becomes two lines.
export function ofDetails(details: unknown, path = ""): Difference[] {
  if (Array.isArray(details)) return details.flatMap((v): Difference[] => (typeof v === "string" ? [ofLine(v)] : ofDetails(v, path)));
  if (!isObject(details)) return details === null || details === undefined || details === "" ? [] : [{ sign: " ", text: `${path}${path && ": "}${plain(details)}` }];
  const before = OLD.find((k) => k in details);
  const after = NEW.find((k) => k in details);
  if (path && before && after) {
    return [
      { sign: "-", text: `${path}: ${plain(details[before])}` },
      { sign: "+", text: `${path}: ${plain(details[after])}` },
    ];
  }
  return Object.entries(details).flatMap(([key, value]) => ofDetails(value, path ? `${path}.${key}` : key));
}
