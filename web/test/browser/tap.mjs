// Results as TAP lines. A check that fails does not end the run; a step that throws ends its group.

export class Results {
  passed = 0;
  failed = 0;

  check(ok, what, detail = "") {
    if (ok) this.passed++;
    else this.failed++;
    console.log(`${ok ? "ok" : "not ok"} ${this.passed + this.failed} - ${what}`);
    if (!ok && detail !== "") {
      for (const line of String(detail).split("\n").slice(0, 40)) console.log(`#   ${line}`);
    }
    return ok;
  }

  /** Runs `steps`; an exception becomes one failed check. */
  async group(title, steps) {
    console.log(`# ${title}`);
    try {
      return await steps();
    } catch (error) {
      this.check(false, `${title}: runs to its end`, error?.stack ?? error);
      return undefined;
    }
  }

  note(text) {
    console.log(`# ${text}`);
  }

  skip(what, why) {
    console.log(`# skipped: ${what}: ${why}`);
  }

  /** The last line of the run, and its exit code. */
  end() {
    console.log(`${this.passed} passed, ${this.failed} failed`);
    return this.failed === 0 && this.passed > 0 ? 0 : 1;
  }
}
