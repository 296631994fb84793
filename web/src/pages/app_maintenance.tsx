// Maintenance: the edge answers 503 for an app, for a while or until somebody ends it.
import { useRef } from "preact/hooks";
import { pathOf, post } from "../lib/api";
import { duration } from "../lib/format";
import type { App } from "../lib/types";
import type { Change } from "../ui/confirm";
import { FormDialog } from "../ui/form";

const MINUTE = 60_000;
const TIMES = [0, 15, 30, 60, 120, 240, 480];

const set = (a: App, body: object) => post(`${pathOf(a.name)}/maintenance`, body);

export const maintenanceOver = (a: App): Change => ({
  title: `Serve ${a.name} again?`,
  text: "The edge answers requests of all clients again.",
  verb: "Serve again",
  done: `${a.name} is served again`,
  act: () => set(a, { on: false }),
});

export function MaintenanceDialog({ a, close }: { a: App; close: () => void }) {
  const time = useRef<HTMLSelectElement>(null);
  const message = useRef<HTMLInputElement>(null);
  const allow = useRef<HTMLInputElement>(null);
  const act = async () => {
    const minutes = Number(time.current!.value);
    const text = message.current!.value.trim();
    const list = allow.current!.value.split(/[\s,]+/).filter(Boolean);
    await set(a, { on: true, ...(minutes && { for_ms: minutes * MINUTE }), ...(text && { message: text }), ...(list.length && { allow: list }) });
    return `${a.name} is in maintenance`;
  };
  return (
    <FormDialog title={`Put ${a.name} into maintenance?`} verb="Answer 503" danger close={close} act={act}>
      <p>Every request to {a.name} is answered 503 at once. Its replicas keep running; probes are answered.</p>
      <label class="field">
        For how long
        <select ref={time}>
          {TIMES.map((m) => (
            <option key={m} value={m}>
              {m ? duration(m * MINUTE) : "until somebody ends it"}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        What clients are told
        <input ref={message} maxLength={256} placeholder="back at 14:00" autofocus />
      </label>
      <label class="field">
        Served all the same: addresses and networks
        <input ref={allow} placeholder="10.0.0.0/8" />
      </label>
    </FormDialog>
  );
}
