/** The greeting that is published. */
export const greeting = (text, count) => ({ text, count });
