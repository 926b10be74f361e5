/**
 * Writes a command's result to standard output. Rejects if the write fails, for instance because the disk is full;
 * `console.log` would hide that. It is no error if the reader ends early (`| head -1`).
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
