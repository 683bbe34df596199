import { expect } from 'chai';
import { type BrowseNode, type SourceBrowser } from '../../../src/contract/index.js';
import { type OpenedSubject } from '../backup-source-conformance.js';
import { expectCode } from '../support/run-operation.js';

/** Every node of the tree, page after page. */
async function walk(browser: SourceBrowser, path = '', pageSize = 1000, depth = 0): Promise<BrowseNode[]> {
  const nodes: BrowseNode[] = [];
  let cursor: string | undefined;
  do {
    const page = await browser.list(path, { pageSize, ...(cursor === undefined ? {} : { cursor }) });
    expect(page.nodes.length).to.be.at.most(pageSize);
    nodes.push(...page.nodes);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  const deeper = depth < 3 ? nodes.filter(({ hasChildren }) => hasChildren) : [];
  const below = await Promise.all(deeper.map((node) => walk(browser, node.path, pageSize, depth + 1)));
  return [...nodes, ...below.flat()];
}

export function describeBrowsing(current: () => OpenedSubject): void {
  describe('capabilities', () => {
    it('are plain data', () => {
      const { capabilities, configSchema, id, displayName } = current().provider;
      expect(JSON.parse(JSON.stringify({ capabilities, configSchema }))).to.deep.equal({ capabilities, configSchema });
      expect(capabilities.kinds).to.include('vm');
      expect(capabilities.levels).to.include('full');
      expect([id, displayName]).to.satisfy((words: string[]) => words.every((word) => word.length > 0));
    });
  });

  describe('browser', () => {
    it('shows the machines, each path once', async () => {
      const { source, subject } = current();
      const paths = (await walk(source.browser)).filter(({ isSelectable }) => isSelectable).map(({ path }) => path);
      expect(paths).to.include.members([subject.runningMachine, subject.haltedMachine]);
      expect(new Set(paths).size).to.equal(paths.length);
    });

    it('gives the same tree whatever the page size', async () => {
      const { browser } = current().source;
      const paths = async (pageSize: number): Promise<string[]> =>
        (await walk(browser, '', pageSize)).map(({ path }) => path);
      expect(await paths(1)).to.have.members(await paths(1000));
    });

    it('offers as selectable only what resolves, to the same id', async () => {
      const { source } = current();
      const nodes = (await walk(source.browser)).filter(({ isSelectable }) => isSelectable);
      const resolved = await source.resolve(nodes.map(({ path }) => path));
      expect(resolved.map(({ path }) => path)).to.deep.equal(nodes.map(({ path }) => path));
      nodes.forEach(({ id }, index) => {
        if (id !== undefined) expect(resolved[index]!.id).to.equal(id);
      });
    });

    it('refuses a path that is not there', async () => {
      const { source, subject } = current();
      await expectCode(source.browser.list(`vm/${subject.unknownName}`), 'OBJECT_NOT_FOUND');
    });

    it('is offered on its own as well', async () => {
      const { subject, source } = current();
      for (const browser of subject.contributions.browsers) {
        const opened = await browser.open(subject.client);
        const alone = (await walk(opened.value)).map(({ path }) => path);
        expect(alone).to.have.members((await walk(source.browser)).map(({ path }) => path));
        await opened.close();
      }
    });
  });

  describe('resolve', () => {
    it('finds a machine by path and keeps the order asked', async () => {
      const { source, subject } = current();
      const asked = [subject.haltedMachine, subject.runningMachine];
      const resolved = await source.resolve(asked);
      expect(resolved.map(({ path }) => path)).to.deep.equal(asked);
      expect(resolved.map(({ path, kind, id }) => `${kind}/${id}` === path)).to.deep.equal([true, true]);
    });

    it('refuses an unknown name', async () => {
      const { source, subject } = current();
      await expectCode(source.resolve([subject.runningMachine, subject.unknownName]), 'OBJECT_NOT_FOUND');
    });

    it('refuses a name that fits more than one object, and names the candidates', async () => {
      const { source, subject } = current();
      const { context } = await expectCode(source.resolve([subject.ambiguousName]), 'OBJECT_AMBIGUOUS');
      const lists = Object.values(context).filter((value) => Array.isArray(value)) as readonly string[][];
      expect(lists.some((list) => list.length >= 2)).to.equal(true);
    });
  });

  describe('check and estimate', () => {
    it('tells its findings as lines', async () => {
      const lines = await current().source.check();
      expect(lines).to.not.be.empty;
      for (const { status, check, message } of lines) {
        expect(['ok', 'warning', 'error']).to.include(status);
        expect(check).to.match(/^[a-z][a-z0-9-]*$/);
        expect(message).to.not.equal('');
      }
    });

    it('estimates a backup without starting one', async () => {
      const { source, subject, request, provider } = current();
      if (!provider.capabilities.canEstimate) return;
      const estimate = await source.estimate(request(subject.runningMachine));
      expect(estimate.source.path).to.equal(subject.runningMachine);
      expect(estimate.disks).to.not.be.empty;
      expect(await subject.leftovers({ isClosed: false })).to.deep.equal([]);
    });
  });

  describe('close', () => {
    it('refuses every call afterwards, and may be repeated', async () => {
      const { source, subject, provider } = current();
      await source.close();
      await source.close();
      await expectCode(source.check(), 'REQUEST_INVALID');
      await expectCode(source.resolve([subject.runningMachine]), 'REQUEST_INVALID');
      await expectCode(source.browser.list(''), 'REQUEST_INVALID');
      if (provider.capabilities.canReconcile) await expectCode(source.reconcile(), 'REQUEST_INVALID');
    });
  });
}
