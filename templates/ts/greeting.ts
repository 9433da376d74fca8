export interface Greeting {
  text: string;
  count: number;
}

/** The greeting that is published. */
export const greeting = (text: string, count: number): Greeting => ({ text, count });
