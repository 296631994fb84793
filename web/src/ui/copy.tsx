// A button that copies a text, also where the browser gives no clipboard: pages that are not served over TLS.
import { useSignal } from "@preact/signals";
import { announce } from "./bits";

async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = document.body.appendChild(Object.assign(document.createElement("textarea"), { value: text, className: "hidden" }));
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

// `says` names it where it is alone, and has to be enough for everybody.
export function Copy({ text, what, says }: { text: string; what: string; says?: string }) {
  const said = useSignal("");
  const copy = async () => {
    said.value = (await copyText(text)) ? "copied" : "select it by hand";
    announce(`${what}: ${said.value}`);
    setTimeout(() => (said.value = ""), 2000);
  };
  return (
    <button type="button" class="small" onClick={copy}>
      {said.value || says || "copy"}
      {!says && <span class="hidden"> {what}</span>}
    </button>
  );
}
