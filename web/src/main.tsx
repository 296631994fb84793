import { render } from "preact";
import { Shell } from "./app";
import { start as startKeys } from "./lib/keys";
import { start as startLive } from "./lib/live";
import { start as startScheme } from "./lib/scheme";
import "uplot/dist/uPlot.min.css";
import "./style/base.css";
import "./style/parts.css";
import "./style/pages.css";
import "./style/logs.css";
import "./style/ops.css";
import "./style/dashboards.css";

startScheme();
startKeys();
startLive();
render(<Shell />, document.getElementById("app")!);
