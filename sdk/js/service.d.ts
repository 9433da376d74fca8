/** The exports of the component; the host calls them. */
export function start(): void;
export function handle(topic: string, payload: Uint8Array): void;
export function tick(): void;
export function stop(): void;
export function connected(sessionPresent: boolean): void;
export function disconnected(): void;
export function delivered(token: number | bigint, outcome: { tag: string; val?: string }): void;
export function configChanged(): void;
export function save(): Uint8Array;
export function load(saved: Uint8Array): void;
