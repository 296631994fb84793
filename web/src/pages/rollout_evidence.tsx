// What the judge has seen: the evidence on its way to the threshold, and each measure of both releases with the
// interval it lies in.
import { count, number, ratio } from "../lib/format";
import type { Counted, EvidenceMetric, Rollout } from "../lib/types";
import { Num, State } from "../ui/bits";

const NAMES: Record<string, [string, string]> = {
  errors: ["failed answers", "share of requests that failed"],
  p50: ["slower than the old median", "share of requests slower than what half of the old release's are"],
  p95: ["slower than the old p95", "share of requests slower than what 95 % of the old release's are"],
  p99: ["slower than the old p99", "share of requests slower than what 99 % of the old release's are"],
  error_rate: ["error rate against its limit", "abort_when: error_rate"],
  p95_limit: ["slower than the limit for p95", "abort_when: p95"],
  error_rate_above_stable: ["error rate above the old release's", "abort_when: error_rate_above_stable"],
  p95_vs_stable: ["p95 against the old release's", "abort_when: p95_vs_stable"],
};

// Where a value lies between "nothing known" (evidence 0.01) and twice the way to the threshold, by its logarithm.
const LOW = -2;
function at(e: number, threshold: number): number {
  const top = Math.log10(threshold) + 1;
  const x = Math.log10(Math.max(e, 1e-9));
  return Math.max(0, Math.min(1, (x - LOW) / (top - LOW)));
}

function Meter({ r }: { r: Rollout }) {
  const { e, threshold, confidence } = r.evidence;
  const bad = e >= threshold;
  const text = `evidence ${number(e)}, the threshold is ${number(threshold)}`;
  return (
    <div class="meter">
      <div class="scale" role="meter" aria-label="Evidence that the new release is worse" aria-valuemin={0} aria-valuemax={threshold} aria-valuenow={Math.min(e, threshold)} aria-valuetext={text}>
        <span class={`fill ${bad ? "bad" : ""}`} style={{ width: `${at(e, threshold) * 100}%` }} />
        <span class="one" style={{ left: `${at(1, threshold) * 100}%` }} />
        <span class="threshold" style={{ left: `${at(threshold, threshold) * 100}%` }} />
      </div>
      <p class="marks" aria-hidden="true">
        <span style={{ left: `${at(1, threshold) * 100}%` }}>1</span>
        <span style={{ left: `${at(threshold, threshold) * 100}%` }}>{number(threshold)}</span>
      </p>
      <p>
        <State tone={bad ? "bad" : e > Math.sqrt(threshold) ? "warn" : "good"}>
          evidence <b>{number(e)}</b> of {number(threshold)}
        </State>{" "}
        <span class="dim">· a good release reaches it in at most {ratio(1 - confidence)} of all rollouts, however often it is looked at</span>
      </p>
      {r.evidence.good && r.evidence.good.needs > 0 && (
        <p class="dim">
          evidence that it is good: {number(r.evidence.good.e)} of {number(r.evidence.good.needs)}
        </p>
      )}
    </div>
  );
}

function Whisker({ c, top, side }: { c: Counted; top: number; side: "new" | "old" }) {
  const x = (v: number) => `${Math.min(100, (v / top) * 100)}%`;
  return (
    <span class={`whisker ${side}`} aria-hidden="true">
      {c.n > 0 && (
        <>
          <span class="line" style={{ left: x(c.low), right: `calc(100% - ${x(c.high)})` }} />
          <span class="dot" style={{ left: x(c.rate) }} />
        </>
      )}
    </span>
  );
}

function Measure({ m, r }: { m: EvidenceMetric; r: Rollout }) {
  const [name, help] = NAMES[m.metric] ?? [m.metric.replaceAll("_", " "), ""];
  const top = Math.max(m.new.n ? m.new.high : 0, m.old.n ? m.old.high : 0, 0.001) * 1.05;
  const said = (c: Counted) => (c.n ? `${ratio(c.rate)} [${ratio(c.low)}, ${ratio(c.high)}], ${count(c.bad)} of ${count(c.n)}` : "no request yet");
  return (
    <tr>
      <th scope="row" title={help}>
        {name}
      </th>
      <td class="side" data-label={r.new.version}>
        <Whisker c={m.new} top={top} side="new" />
        <span>{said(m.new)}</span>
      </td>
      <td class="side" data-label={r.old.version}>
        <Whisker c={m.old} top={top} side="old" />
        <span>{said(m.old)}</span>
      </td>
      <Num name="evidence">{number(m.e)}</Num>
    </tr>
  );
}

export function Evidence({ r }: { r: Rollout }) {
  const shown = r.evidence.metrics.filter((m) => m.enabled);
  return (
    <section class="card evidence" aria-labelledby="evidence-title">
      <h2 id="evidence-title">Is {r.new.version} worse?</h2>
      <Meter r={r} />
      {shown.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Measures">
          <table class="rows stack">
            <thead>
              <tr>
                <th scope="col">measure</th>
                <th scope="col">
                  <i class="swatch" style={{ "--swatch": "var(--new)" }} />
                  {r.new.version}
                </th>
                <th scope="col">
                  <i class="swatch" style={{ "--swatch": "var(--old)" }} />
                  {r.old.version}
                </th>
                <th scope="col" class="num">
                  evidence
                </th>
              </tr>
            </thead>
            <tbody>
              {shown.map((m) => (
                <Measure key={m.metric} m={m} r={r} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
