// The page's beginning: every part is started, then the folder is asked for.

import { startCine } from "./cine.js";
import { startClasses } from "./classes.js";
import { startCorners } from "./corners.js";
import { startCursor } from "./cursor.js";
import { refresh, startFolder } from "./folder.js";
import { startInstant } from "./instant.js";
import { startKeys } from "./keys.js";
import { startNumbers } from "./numbers.js";
import { startPalette } from "./palette.js";
import { startPointer } from "./pointer.js";
import { startPreview } from "./preview.js";
import { startQueue } from "./queue.js";
import { startReview } from "./review.js";
import { startStatus, telling } from "./status.js";
import { startStrip } from "./strip.js";
import { startTabs } from "./tabs.js";
import { startTheme } from "./theme.js";
import { startTrain, watchTraining } from "./train.js";
import { startView } from "./view.js";

const parts = [
  startTheme, startStatus, startTabs, startView, startPointer, startCursor, startCorners, startStrip, startCine,
  startPalette, startClasses, startFolder, startQueue, startTrain, startReview, startInstant, startPreview, startNumbers, startKeys,
]; // prettier-ignore
for (const start of parts) start();

await telling(refresh)();
await watchTraining();
document.body.dataset.ready = "true";
