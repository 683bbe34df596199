import { expect } from 'chai';
import { errorFromPage, isXapiError, pageDetails, taskError, XapiError } from '../../src/xapi/xapi-error.js';

/** As a real XAPI 24.19.2 sent it. */
const page = (details: string): string =>
  '<html><body><h1>HTTP 500 internal server error</h1>An unexpected error occurred; please wait a while and try again. ' +
  `If the problem persists, please contact your support representative.<h1> Additional information </h1>${details}</body></html>`;

describe('XapiError', () => {
  it('carries code, parameters, call and task, and says them in its message', () => {
    const error = new XapiError('VDI_IN_USE', ['OpaqueRef:1', 'destroy'], { call: 'VDI.destroy', taskUuid: 't' });
    expect(error).to.deep.include({ code: 'VDI_IN_USE', params: ['OpaqueRef:1', 'destroy'], taskUuid: 't' });
    expect(error.message).to.equal('VDI.destroy: VDI_IN_USE (OpaqueRef:1, destroy)');
  });

  it('never carries a session reference', () => {
    const invalid = new XapiError('SESSION_INVALID', ['OpaqueRef:secret']);
    const handle = new XapiError('HANDLE_INVALID', ['session', 'OpaqueRef:secret']);
    expect(JSON.stringify([invalid, invalid.message, handle, handle.message])).not.to.contain('secret');
    expect(new XapiError('HANDLE_INVALID', ['VM', 'OpaqueRef:1']).params).to.deep.equal(['VM', 'OpaqueRef:1']);
  });

  describe('duringCall', () => {
    it('names the method and keeps the rest', () => {
      const error = new XapiError('X', ['p'], { taskUuid: 't' }).duringCall('VM.snapshot');
      expect(error).to.deep.include({ code: 'X', params: ['p'], taskUuid: 't', call: 'VM.snapshot' });
      expect(new XapiError('X').duringCall('VM.snapshot').taskUuid).to.equal(undefined);
    });
  });

  describe('isXapiError', () => {
    it('asks for the class, and for one of the codes when there are any', () => {
      const error = new XapiError('A');
      expect([
        isXapiError(error),
        isXapiError(error, 'A', 'B'),
        isXapiError(error, 'B'),
        isXapiError(new Error('A')),
      ]).to.deep.equal([true, true, false, false]);
    });
  });

  describe('taskError', () => {
    it('takes code and parameters from error_info', () => {
      expect(taskError('failure', ['VM_BAD_POWER_STATE', 'r', 'halted', 'running'])).to.deep.include({
        code: 'VM_BAD_POWER_STATE',
        params: ['r', 'halted', 'running'],
      });
    });

    it('has a code for tasks that end without a word', () => {
      expect(taskError('cancelled', []).code).to.equal('TASK_CANCELLED');
      expect(taskError('failure', ['']).code).to.equal('INTERNAL_ERROR');
    });
  });

  describe('errorFromPage', () => {
    it('reads code and parameters of a refused export', () => {
      const error = errorFromPage(page('VM_BAD_POWER_STATE: [ OpaqueRef:1; halted, suspended; running ]'));
      expect(error).to.deep.include({
        code: 'VM_BAD_POWER_STATE',
        params: ['OpaqueRef:1', 'halted, suspended', 'running'],
      });
    });

    it('reads a code without parameters, also in a page inside another answer', () => {
      const inner = `HTTP/1.1 500 Internal Error\r\ncontent-length: 271\r\n\r\n${page('IMPORT_ERROR_CANNOT_HANDLE_CHUNKED: [  ]')}`;
      expect(errorFromPage(inner)).to.deep.include({ code: 'IMPORT_ERROR_CANNOT_HANDLE_CHUNKED', params: [] });
    });

    it('finds nothing in pages without a code', () => {
      const details = 'Db_exn.DBCache_NotFound(&quot;missing row&quot;, &quot;task&quot;, &quot;x&quot;)';
      expect(errorFromPage(page(details))).to.equal(undefined);
      expect(pageDetails(page(details))).to.equal('Db_exn.DBCache_NotFound("missing row", "task", "x")');
      expect(errorFromPage('<html><body><h1>HTTP 401 unauthorised</h1></body></html>')).to.equal(undefined);
      expect(pageDetails('Additional information </h1>a &nosuch; b')).to.equal('a &nosuch; b');
    });
  });
});
