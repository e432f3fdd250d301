import { $$ } from "../dom";
import { attach } from "../upload";

for (const zone of $$("[data-upload]")) attach(zone);
