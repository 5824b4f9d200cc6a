// What is added to the folder: images, DICOM pictures, zips of a DICOM series, and folders that hold the files of one.

import * as api from "./api.js";

const IMAGES = [".nii", ".nii.gz", ".mgz", ".mgh", ".nrrd", ".mha", ".mhd", ".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".zip"];
const DICOM = [".dcm", ".dicom", ".ima"]; // alone an image of its own; in a folder perhaps a slice
const MOST = 512; // MB of an upload, as the server takes it

const megabytes = (files) => files.reduce((sum, file) => sum + file.size, 0) / 2 ** 20;
const ends = (name, suffixes) => suffixes.some((suffix) => name.toLowerCase().endsWith(suffix));
const isImage = ({ name }) => ends(name, IMAGES);
const isHidden = ({ name }) => name.startsWith(".") || name === "Thumbs.db";

/**
 * Uploads: an image is one file, and a series the files of one folder. In a folder with images, other files are left out.
 * @param {{folder: string, file: File}[]} found folder: its path; empty for a file that lies in none
 * @returns {{name: string, files: File[], series: boolean}[]}
 */
export function sorted(found) {
  const folders = Map.groupBy(
    found.filter(({ file }) => !isHidden(file)),
    ({ folder }) => folder,
  );
  return [...folders].flatMap(([folder, inside]) => {
    const files = inside.map(({ file }) => file);
    const images = files.filter(isImage);
    if (folder && !images.length) return [{ name: folder.split("/").at(-1), files, series: true }];
    return (folder ? images : files).map((file) => ({ name: file.name, files: [file], series: false }));
  });
}

/** A line for each folder with images of which other files are left out. @param {{folder: string, file: File}[]} found */
export function leftOut(found) {
  const folders = Map.groupBy(
    found.filter(({ folder, file }) => folder && !isHidden(file)),
    ({ folder }) => folder,
  );
  return [...folders].flatMap(([folder, inside]) => {
    const others = inside.map(({ file }) => file).filter((file) => !isImage(file));
    if (!others.length || others.length === inside.length) return []; // all of them are a series
    const count = others.length === 1 ? "one file is" : `${others.length} files are`;
    return [`${folder}: ${count} not added, as images lie beside and the name is no image's (${others[0].name})`];
  });
}

/** Send an upload. @returns the case that it is now */
export async function send({ name, files, series }) {
  const size = megabytes(files);
  if (size > MOST) {
    throw new Error(`${name}: ${Math.ceil(size)} MB, allowed are up to ${MOST}; put it into the folder's images/ yourself`);
  }
  if (!series && !isImage(files[0]) && !ends(name, DICOM)) {
    throw new Error(`${name}: not an image by its name; of a DICOM series, add the folder that holds all of its files`);
  }
  return series ? api.putSeries(name, files) : api.putImage(files[0]);
}

/** The files of a drop, with those in folders. Call it at once: a drop's items are gone when its event is over. */
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ folder: "", file }));
  return (await Promise.all(entries.map((entry) => filesOf(entry, "")))).flat();
}

/** The files that a person chose, alone or as a folder. @param {FileList} files */
export const chosenFiles = (files) =>
  [...files].map((file) => ({ folder: (file.webkitRelativePath ?? "").split("/").slice(0, -1).join("/"), file }));

async function filesOf(entry, folder) {
  if (entry.isFile) return [{ folder, file: await new Promise((done, fail) => entry.file(done, fail)) }];
  const inside = await entriesOf(entry.createReader());
  const path = folder ? `${folder}/${entry.name}` : entry.name;
  return (await Promise.all(inside.map((each) => filesOf(each, path)))).flat();
}

/** All entries of a folder, which come in parts. */
async function entriesOf(reader) {
  const found = [];
  for (;;) {
    const part = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!part.length) return found;
    found.push(...part);
  }
}
