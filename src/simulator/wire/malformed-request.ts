/** A request that is no call at all: answered with an HTTP 500 page, not with an error of the API. */
export class MalformedRequest extends Error {
  constructor(information: string) {
    super(information);
    this.name = 'MalformedRequest';
  }
}
