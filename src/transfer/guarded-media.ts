import { type BackupSink, type RestoreMedia } from '../contract/media.js';
import { mediumReadError, mediumWriteError } from './medium-error.js';

/** The host's sink; what it throws when it opens an item is a failure of its medium, whatever it is made of. */
export function guardedSink(sink: BackupSink): BackupSink {
  const { maxOpenItems, canReopenItems = false, keepsNoBuffers = false } = sink;
  return {
    maxOpenItems,
    canReopenItems,
    keepsNoBuffers,
    openItem: async (item, signal) => {
      try {
        return await sink.openItem(item, signal);
      } catch (cause) {
        throw signal.aborted ? cause : mediumWriteError(cause);
      }
    },
  };
}

/** The host's media, likewise. */
export function guardedMedia(media: RestoreMedia): RestoreMedia {
  const { record, ancestors = [] } = media;
  return {
    record,
    ancestors,
    openItem: async (name, signal, savesetId) => {
      try {
        return await media.openItem(name, signal, savesetId);
      } catch (cause) {
        throw signal.aborted ? cause : mediumReadError(cause, name);
      }
    },
  };
}
