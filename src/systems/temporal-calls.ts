import { defaultGrpcRetryOptions, makeGrpcRetryInterceptor, type ConnectionOptions } from '@temporalio/client';

type Interceptor = NonNullable<ConnectionOptions['interceptors']>[number];
type Call = ReturnType<Interceptor>;

/** Nobody waits for it any more. */
const silence = () => undefined;
const nobody = { start: silence, sendMessage: silence, halfClose: silence, startRead: silence } as unknown as Call;

/**
 * Lets a call that is to be tried again after its connection was closed end in silence. The library tries again from a timer, and what
 * gRPC throws there, "Channel has been shut down", would end the whole process. A first try fails as ever.
 */
function quietOnceClosed(): Interceptor {
  const tried = new WeakSet();
  return (options, nextCall) => {
    const again = tried.has(options);
    tried.add(options);
    try {
      // What the rest of the chain makes is a call of gRPC, although its type says less.
      return nextCall(options) as Call;
    } catch (error) {
      if (!again) throw error;
      return nobody;
    }
  };
}

/** How calls to Temporal are made: tried again as the library does by itself, but not by a connection that was closed meanwhile. */
export const callInterceptors = (): Interceptor[] => [
  makeGrpcRetryInterceptor(defaultGrpcRetryOptions()),
  quietOnceClosed(),
];
