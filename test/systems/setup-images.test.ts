import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const script = join(__dirname, '..', '..', 'scripts', 'setup', 'images.sh');

/** What `image_build` asks of Docker, where an image had been built before. `tags`: how many names that one has left after the build. */
function removals(tags: string): string[] {
  // Docker, played: the name leads to another image once one was built.
  const played = `
    docker() {
      case "$*" in
        'image inspect --format {{len .RepoTags}} sha256:old') [[ -n '${tags}' ]] && echo '${tags}' ;;
        'image inspect --format {{.Id}} some:tag') if [[ -n $built ]]; then echo sha256:new; else echo sha256:old; fi ;;
        'build '*) built=yes ;;
        'image rm'*) echo "removed \${*:3}" ;;
      esac
    }
    source '${script}'
    image_build some:tag context Dockerfile hash
  `;
  const { status, stdout, stderr } = spawnSync('bash', ['-c', played], { encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout.split('\n').filter((line) => line.startsWith('removed'));
}

test('an image that lost its name to the one that was built is removed', () => {
  expect(removals('0')).toEqual(['removed sha256:old']);
});

test('one that somebody gave another name, as docs/upgrade.md has it, stays: it is the way back', () => {
  expect(removals('1')).toEqual([]);
});

test('one that is gone already is none to remove', () => {
  expect(removals('')).toEqual([]);
});
