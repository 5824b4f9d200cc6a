// The page's beginning: every part is started, then the folder is asked for.

import { startAcross } from "./across.js";
import { startCine } from "./cine.js";
import { startClasses } from "./classes.js";
import { startCorners } from "./corners.js";
import { startCursor } from "./cursor.js";
import { refresh, startFolder } from "./folder.js";
import { startDrawers } from "./drawers.js";
import { startFilter } from "./filter.js";
import { startFollow } from "./follow.js";
import { startHiding } from "./hiding.js";
import { startInstant } from "./instant.js";
import { startKeys } from "./keys.js";
import { startLooked } from "./looked.js";
import { startMasks } from "./masks.js";
import { recall, startMemory } from "./memory.js";
import { startNumbers } from "./numbers.js";
import { startPalette } from "./palette.js";
import { startPointer } from "./pointer.js";
import { startPreview } from "./preview.js";
import { startQueue } from "./queue.js";
import { startReady } from "./ready.js";
import { startReview } from "./review.js";
import { startSides } from "./sides.js";
import { startStatus, telling } from "./status.js";
import { startStrip } from "./strip.js";
import { startTabs } from "./tabs.js";
import { startTheme } from "./theme.js";
import { startTrain, watchTraining } from "./train.js";
import { startView } from "./view.js";

const parts = [
  startTheme, startStatus, startTabs, startView, startPointer, startCursor, startCorners, startStrip, startCine,
  startPalette, startClasses, startFilter, startFolder, startQueue, startTrain, startReview, startMasks, startLooked, startInstant,
  startPreview, startNumbers, startKeys, startAcross, startDrawers, startMemory, startFollow, startReady, startSides, startHiding,
]; // prettier-ignore
for (const start of parts) start();

await telling(refresh)();
recall();
await watchTraining();
document.body.dataset.ready = "true";
