// A screen on which rows of lists take two lines.
import { signal } from "@preact/signals";

const query = matchMedia("(max-width: 760px)");
export const narrow = signal(query.matches);
query.addEventListener("change", () => (narrow.value = query.matches));
