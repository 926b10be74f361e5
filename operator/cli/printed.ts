/**
 * Writes a command's result to standard output. Rejects where it can't be written, such as on a full disk: `console.log` would say
 * nothing. A reader that has read enough (`| head -1`) is no error.
 */
export function printed(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (error?: NodeJS.ErrnoException | null) => {
      if (!error || error.code === 'EPIPE') return resolve();
      reject(new Error(`the result can't be written to standard output: ${error.message}`));
    };
    process.stdout.on('error', end);
    process.stdout.write(text, end);
  });
}
