// Loaded by every page.
import * as actions from "../actions";
import { $ } from "../dom";
import * as keyboard from "../keyboard";
import * as livelist from "../livelist";
import * as times from "../times";

actions.listen();
keyboard.listen();
times.keepTrue();

const list = $("[data-live]");
if (list) livelist.keepTrue(list);
