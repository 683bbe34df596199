import { type PluginContributions, type PluginManifest } from '../contract/index.js';

type Declared = Readonly<Record<keyof PluginContributions, readonly { readonly id: string }[]>>;

const FUNCTION_OF = { sources: 'open', browsers: 'open', restoreHandlers: 'open' } as const;

/** How the contributions of an activated plugin differ from its manifest, as sentences without a full stop. */
export function contributionProblems(manifest: PluginManifest, given: unknown): readonly string[] {
  if (typeof given !== 'object' || given === null) return ['it contributes nothing'];
  const declared: Declared = manifest.contributes;
  const points = Object.keys(FUNCTION_OF) as (keyof PluginContributions)[];
  const problems = points.flatMap((point) =>
    pointProblems(point, declared[point], (given as Partial<Declared>)[point]),
  );
  return problems.length > 0 ? problems : kindProblems(manifest, given as PluginContributions);
}

function pointProblems(
  point: keyof PluginContributions,
  declared: readonly { id: string }[],
  given: unknown,
): string[] {
  if (!Array.isArray(given)) return [`${point} is not a list`];
  const entries = given as readonly Readonly<Record<string, unknown>>[];
  const broken = entries.some((entry) => typeof entry !== 'object' || typeof entry[FUNCTION_OF[point]] !== 'function');
  if (broken) return [`${point} has an entry that cannot be opened`];
  const wanted = declared.map(({ id }) => id).sort();
  const found = entries.map(({ id }) => String(id)).sort();
  if (wanted.join('\n') === found.join('\n')) return [];
  return [`${point} should be ${listed(wanted)} and is ${listed(found)}`];
}

function kindProblems(manifest: PluginManifest, given: PluginContributions): string[] {
  return given.restoreHandlers.flatMap(({ id, kinds }) => {
    const wanted = manifest.contributes.restoreHandlers.find((entry) => entry.id === id)?.kinds ?? [];
    const isSame = listed([...wanted].sort()) === listed([...kinds].sort());
    return isSame ? [] : [`the restore handler ${id} should take ${listed(wanted)} and takes ${listed(kinds)}`];
  });
}

function listed(ids: readonly string[]): string {
  return ids.length === 0 ? 'nothing' : ids.join(', ');
}
