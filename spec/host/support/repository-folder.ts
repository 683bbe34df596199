import { join } from 'node:path';
import { DirectoryRepository } from '../../../src/host/repository/directory-repository.js';
import { useTemporaryFolder } from './temporary-folder.js';

type OpenOptions = Parameters<typeof DirectoryRepository.open>[1];

/** Where the repository of a spec is, and how it is opened. */
export interface RepositoryFolder {
  /** The folder that has the repository, and nothing else, in it. */
  readonly folder: () => string;
  /** A path in the repository. */
  readonly path: (...names: string[]) => string;
  /** A path in the folder of its savesets. */
  readonly saveset: (...names: string[]) => string;
  /** Makes it when it is not there. */
  readonly openRepository: (options?: OpenOptions) => Promise<DirectoryRepository>;
}

/** The place of a repository, a new one for each spec of the suite it is called in. */
export function useRepositoryFolder(): RepositoryFolder {
  const folder = useTemporaryFolder();
  const path = (...names: string[]): string => join(folder(), 'repo', ...names);
  return {
    folder,
    path,
    saveset: (...names) => path('savesets', ...names),
    openRepository: (options) => DirectoryRepository.open(path(), { create: true, ...options }),
  };
}
