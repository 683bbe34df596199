import { expect } from 'chai';
import {
  consistencyProperties,
  type ConsistencySubject,
  possibleConsistencies,
} from '../../src/browser/possible-consistencies.js';

const running = (...allowed: string[]): ConsistencySubject => ({
  power_state: 'Running',
  is_a_template: false,
  allowed_operations: allowed,
});

describe('possibleConsistencies', () => {
  it('offers all that the pool allows for a running machine', () => {
    const all = running('snapshot', 'clean_shutdown', 'snapshot_with_quiesce', 'checkpoint');
    expect(possibleConsistencies(all, true)).to.deep.equal({
      possible: ['crash', 'offline', 'quiesced', 'memory'],
      impossible: [],
    });
  });

  it('says why not, by what is missing', () => {
    expect(possibleConsistencies(running('clean_shutdown'), true).impossible).to.deep.equal([
      'quiesced: neither this release nor its guest offers it',
      'memory: the pool allows no checkpoint of it now',
    ]);
    expect(possibleConsistencies(running(), false)).to.deep.equal({
      possible: ['crash'],
      impossible: [
        'offline: it has no guest tools',
        'quiesced: it has no guest tools',
        'memory: it has no guest tools',
      ],
    });
  });

  it('knows machines at rest', () => {
    const at = (power_state: 'Halted' | 'Suspended', is_a_template = false): readonly string[] =>
      possibleConsistencies({ power_state, is_a_template, allowed_operations: [] }, false).possible;
    expect(at('Halted')).to.deep.equal(['offline']);
    expect(at('Halted', true)).to.deep.equal(['offline']);
    expect(at('Suspended')).to.deep.equal(['crash', 'memory']);
  });
});

describe('consistencyProperties', () => {
  it('leaves out reasons when there are none', () => {
    const halted: ConsistencySubject = { power_state: 'Halted', is_a_template: false, allowed_operations: [] };
    expect(consistencyProperties(halted, true)).to.deep.equal({ consistency: ['offline'] });
    expect(consistencyProperties(running('checkpoint'), true)).to.have.keys('consistency', 'notPossible');
  });
});
