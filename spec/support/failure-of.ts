import { AssertionError } from 'chai';

/** The error that a promise rejects with; fails when it does not. */
export async function failureOf(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new AssertionError('expected a rejection');
}
