// Lines of a difference, with a sign and a word for who does not see the colour.
import type { Difference } from "../lib/changes";

const WORD = { "+": "new", "-": "gone", "~": "changed", " ": "" };

export function Changes({ of, label }: { of: Difference[]; label: string }) {
  const signed = of.some((d) => d.sign !== " ");
  return (
    <ul class="changes" aria-label={label}>
      {of.map((d, i) => (
        <li key={i} class={d.sign === "+" ? "came" : d.sign === "-" ? "gone" : ""}>
          {signed && <span aria-hidden="true">{d.sign}</span>}
          {WORD[d.sign] && <span class="hidden">{WORD[d.sign]}: </span>}
          {d.text}
        </li>
      ))}
    </ul>
  );
}
