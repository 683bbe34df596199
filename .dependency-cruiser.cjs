// Who may import whom, besides itself: the architecture as data. spec/architecture.spec.ts executes it.
const layers = {
  contract: [],
  common: [],
  format: ['common'],
  xapi: ['common'],
  transfer: ['contract', 'format', 'xapi', 'common'],
  session: ['contract', 'xapi', 'common'],
  browser: ['contract', 'session', 'xapi', 'common'],
  backup: ['contract', 'session', 'browser', 'transfer', 'format', 'xapi', 'common'],
  restore: ['contract', 'session', 'browser', 'transfer', 'format', 'xapi', 'common'],
  provider: ['contract', 'session', 'browser', 'backup', 'restore', 'transfer', 'format', 'xapi', 'common'],
  plugin: ['contract', 'provider', 'session', 'browser', 'backup', 'restore', 'transfer', 'format', 'xapi', 'common'],
  simulator: ['common'],
  host: ['contract', 'common'],
  demo: ['common'],
};

const layerRules = Object.entries(layers).map(([from, to]) => ({
  name: `layer-${from}`,
  comment: `${from} may import ${to.length === 0 ? 'nothing of ours' : to.join(', ')}`,
  severity: 'error',
  from: { path: `^src/${from}/` },
  to: { path: '^src/', pathNot: `^src/(${[from, ...to].join('|')})/` },
}));

/** A package that only some folders may import. */
const only = (name, packagePath, folders) => ({
  name,
  severity: 'error',
  from: { path: '^src/', pathNot: folders },
  to: { path: `^node_modules/(${packagePath})/` },
});

module.exports = {
  forbidden: [
    { name: 'no-cycle', severity: 'error', from: {}, to: { circular: true } },
    { name: 'no-unresolved', severity: 'error', from: {}, to: { couldNotResolve: true } },
    // The command `simulate` starts the simulated pool, and only when asked to: a dynamic import in one file.
    ...layerRules.map((rule) =>
      rule.name === 'layer-host'
        ? { ...rule, from: { ...rule.from, pathNot: '^src/host/cli/simulate-command\\.ts$' } }
        : rule,
    ),
    only('xen-api-in-xapi', 'xen-api', '^src/xapi/'),
    only('undici-in-xapi', 'undici', '^src/xapi/'),
    only('commander-in-cli', 'commander|cli-table3|cli-progress', '^src/host/'),
    only('selfsigned-in-simulator', 'selfsigned', '^src/simulator/'),
    {
      name: 'source-never-imports-spec',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(spec|bench|torture|fixtures)/' },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'node', 'default'] },
  },
};
