// Loaded by pages with plots.
import { $$ } from "../dom";
import { fill } from "../plot";

for (const figure of $$("[data-plot]")) void fill(figure);
